/*
 * Says what inotify tells of paths: `watch PATH...` prints `ready`, then a line for each event: the number of the path,
 * the events' names, and the name in the folder. Opening, reading and closing are not asked for.
 */
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCHED                                                                                                       \
	(IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)

static const struct {
	unsigned int bit;
	const char *name;
} NAMES[] = {
	{IN_MODIFY, "modify"},
	{IN_ATTRIB, "attrib"},
	{IN_MOVED_FROM, "moved_from"},
	{IN_MOVED_TO, "moved_to"},
	{IN_CREATE, "create"},
	{IN_DELETE, "delete"},
	{IN_DELETE_SELF, "delete_self"},
	{IN_MOVE_SELF, "move_self"},
	{IN_IGNORED, "ignored"},
	{IN_Q_OVERFLOW, "overflow"},
	{IN_ISDIR, "folder"},
};

int main(int argc, char **argv)
{
	static char events[64 * (sizeof(struct inotify_event) + NAME_MAX + 1)]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0)
		return perror("inotify_init1"), 1;
	for (int i = 1; i < argc; i++)
		if (inotify_add_watch(fd, argv[i], WATCHED) < 0)
			return perror(argv[i]), 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		ssize_t count = read(fd, events, sizeof events);

		if (count <= 0)
			return perror("read"), 1;
		for (char *at = events; at < events + count;) {
			const struct inotify_event *event = (const struct inotify_event *)at;

			printf("%d", event->wd);
			for (unsigned int i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
				if (event->mask & NAMES[i].bit)
					printf(" %s", NAMES[i].name);
			printf(event->len > 0 ? " %s\n" : "\n", event->name);
			at += sizeof *event + event->len;
		}
		fflush(stdout);
	}
}
