"""What a user of docker-py writes, a function a step, each told as a line of JSON: `{"name", "result" | "error"}`.

usage: docker-py.py ROOTFS FOLDER, with DOCKER_HOST. ROOTFS is a tar of busybox, FOLDER one of the caller's own. Both
engines get the same steps (docker-py.test.ts); results hold no ids, times and ports. Not here: what needs a cgroup that
is delegated (pause, limits), and the search of Docker's own registry.
"""

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request

import docker
from docker.errors import APIError, BuildError, ContainerError
from docker.types import Healthcheck, IPAMConfig, IPAMPool, LogConfig, Mount, Ulimit
from docker.utils.socket import frames_iter

# s that a step may take on a machine with much to do; one that hangs is told, and the next one begins
PATIENCE = 240

ROOTFS, FOLDER = sys.argv[1:3]


class UnreadResponse(http.client.HTTPResponse):
    """docker-py reads a connection that was taken over below the buffer, which has what came with the head."""

    def __init__(self, sock, *words, **options):
        super().__init__(sock, *words, **options)
        buffered, self.fp = self.fp, sock.makefile('rb', 1)
        buffered.close()


# 5 and 7 name it differently
http.client.HTTPResponse = http.client.HTTPConnection.response_class = UnreadResponse
client = docker.from_env(timeout=PATIENCE)
STEPS = []


def step(function):
    STEPS.append(function)
    return function


def start(command=None, image='box', **options):
    """A container without a network, which most steps do without."""
    options = {'network_mode': 'none', 'stop_signal': 'SIGKILL', **options}
    return client.containers.run(image, command, detach=True, **options)


def run(command=None, image='box', **options):
    return client.containers.run(image, command, **{'network_mode': 'none', 'remove': True, **options})


def refused(call, *words, **options):
    """The error's type, its status and its first line: husk's fix stands below."""
    try:
        call(*words, **options)
    except APIError as error:
        return [type(error).__name__, error.status_code, (error.explanation or '').split('\n')[0]]
    raise AssertionError('this was not refused')


def status_of(call, *words, **options):
    return refused(call, *words, **options)[:2]


def until(question, seconds=PATIENCE):
    """Asks until the answer is true. @returns it"""
    end = time.time() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.time() > end:
            raise AssertionError('it has not come about')
        time.sleep(0.1)


def tar_of(**files):
    """A tar in memory; `__` in a name stands for a dot."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace('__', '.'))
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def members(chunks):
    with tarfile.open(fileobj=io.BytesIO(b''.join(chunks))) as archive:
        texts = [archive.extractfile(m).read().decode('latin1') if m.isfile() else None for m in archive.getmembers()]
        return dict(zip(archive.getnames(), texts))


class Registry:
    """Debian's registry on loopback, with a password where one is given: crypt(3) makes the line of its file."""

    def __init__(self, name, password=None):
        folder = os.path.join(FOLDER, name)
        os.mkdir(folder)
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            self.host = '127.0.0.1:%d' % probe.getsockname()[1]
        config = 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "%s"}\n'
        text = config % (os.path.join(folder, 'data'), self.host)
        if password is not None:
            script = 'print crypt($ARGV[0], q{$2b$05$abcdefghijklmnopqrstuu})'
            crypted = subprocess.check_output(['perl', '-e', script, password], text=True)
            with open(os.path.join(folder, 'htpasswd'), 'w') as file:
                file.write('me:%s\n' % crypted.replace('$2b$', '$2y$'))
            text += 'auth: {htpasswd: {realm: test, path: %s}}\n' % os.path.join(folder, 'htpasswd')
        path = os.path.join(folder, 'config.yml')
        with open(path, 'w') as file:
            file.write(text)
        quiet = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
        self.process = subprocess.Popen(['docker-registry', 'serve', path], **quiet)
        until(self.answers)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError('docker-registry has ended')
        try:
            urllib.request.urlopen('http://%s/v2/' % self.host).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


# The engine


@step
def ping_and_version():
    version = client.version()
    assert docker.utils.version_gte(version['ApiVersion'], '1.44')
    keys = ['ApiVersion', 'Arch', 'KernelVersion', 'MinAPIVersion', 'Os', 'Version']
    return [client.ping(), version['Os'], version['Components'][0]['Name'], [type(version[k]).__name__ for k in keys]]


@step
def info():
    found = client.info()
    keys = ['Architecture', 'Containers', 'ContainersRunning', 'DockerRootDir', 'Driver', 'ID', 'Images', 'MemTotal']
    keys += ['NCPU', 'Name', 'OperatingSystem', 'Plugins', 'RegistryConfig', 'Runtimes', 'SecurityOptions', 'Swarm']
    return [found['OSType'], found['Swarm']['LocalNodeState'], {key: type(found[key]).__name__ for key in keys}]


@step
def swarm_is_refused():
    calls = [client.swarm.reload, client.nodes.list, client.services.list, client.secrets.list, client.configs.list]
    return [refused(call) for call in calls] + [refused(client.swarm.leave)]


@step
def plugins():
    return [client.plugins.list(), status_of(client.plugins.get, 'nosuch')]


# Images


@step
def image_import():
    with open(ROOTFS, 'rb') as rootfs:
        answer = client.api.import_image_from_data(rootfs.read(), repository='box', changes=['CMD ["sh"]', 'LABEL a=b'])
    return json.loads(answer.strip().split('\n')[-1])


@step
def image_get():
    image = client.images.get('box')
    attributes = {key: image.attrs[key] for key in ['Architecture', 'Os', 'RepoTags', 'RepoDigests']}
    return [image.tags, image.labels, image.short_id[:7], image.attrs['Config']['Cmd'], attributes]


@step
def image_list():
    image = client.images.get('box')
    assert image in client.images.list() and image in client.images.list('box')
    by = [{'reference': 'b?x'}, {'label': 'a=b'}, {'label': 'a=c'}, {'dangling': True}, {'before': 'box'}]
    listed = client.api.images('box')[0]
    return [[[i.tags for i in client.images.list(filters=each)] for each in by], sorted(listed)]


@step
def image_that_is_not_there():
    return [refused(client.images.get, 'nosuch'), refused(client.images.remove, 'nosuch:1')]


@step
def image_tag_and_remove():
    image = client.images.get('box')
    assert image.tag('copy', '1') and image.tag('group/copy')
    image.reload()
    tags = sorted(image.tags)
    removed = [client.api.remove_image(name) for name in ['copy:1', 'group/copy']]
    return [tags, removed, refused(image.tag, 'Not/A/Name')]


@step
def image_history():
    return [[sorted(layer), layer['Tags'], layer['Id']] for layer in client.images.get('box').history()]


@step
def image_save_and_load():
    image = client.images.get('box')
    image.tag('saved:1')
    tar = b''.join(client.images.get('saved:1').save(named='saved:1'))
    names = [name for name in members([tar]) if name in ('manifest.json', 'repositories', 'index.json', 'oci-layout')]
    client.images.remove('saved:1')
    return [sorted(names), [i.tags for i in client.images.load(tar)], client.images.remove('saved:1')]


@step
def push_and_pull():
    with Registry('open') as registry:
        name = registry.host + '/box'
        image = client.images.get('box')
        for tag in ['1', '2']:
            image.tag(name, tag)
        pushed = list(client.images.push(name, tag='1', stream=True, decode=True))
        assert not any('error' in line for line in pushed), pushed
        client.images.push(name, tag='2')
        digest = client.images.get_registry_data(name + ':1')
        for tag in ['1', '2']:
            client.images.remove('%s:%s' % (name, tag))
        pulled = client.images.pull(name, tag='1')
        every = client.images.pull(name, all_tags=True)
        names = {tag for each in every for tag in each.tags}
        lines = [line['status'] for line in client.api.pull(name, tag='1', stream=True, decode=True)]
        sees = [digest.has_platform('linux/amd64'), digest.has_platform('linux/s390x'), digest.id.split(':')[0]]
        gone = refused(client.images.pull, name, tag='none')
        for tag in ['1', '2']:
            client.images.remove('%s:%s' % (name, tag))
        told = [sorted(line.get('aux', {})) for line in pushed if 'aux' in line]
        return [pulled.tags[:1], sorted(names), lines, sees, gone, told, pushed[0], refused(run, 'true', image=name)]


@step
def login():
    with Registry('closed', 'secret') as registry:
        wrong = status_of(client.login, 'me', 'wrong', registry=registry.host)[0]
        name = registry.host + '/box'
        client.images.get('box').tag(name, '1')
        denied = [line for line in client.images.push(name, tag='1', stream=True, decode=True) if 'error' in line]
        right = client.login('me', 'secret', registry=registry.host)
        pushed = [line for line in client.images.push(name, tag='1', stream=True, decode=True) if 'error' in line]
        client.images.remove(name + ':1')
        client.images.pull(name, tag='1')
        client.images.remove(name + ':1')
        return [wrong, len(denied), right['Status'], pushed]


@step
def build_of_a_file():
    text = b'FROM box\nARG WORD=none\nENV SAID=$WORD\nRUN echo $WORD >/said\nLABEL l=m\n'
    image, log = client.images.build(fileobj=io.BytesIO(text), tag='built:1', buildargs={'WORD': 'yes'}, rm=True)
    said = run('cat /said', image='built:1')
    lines = [line['stream'] for line in log if 'stream' in line]
    told = ['Successfully tagged built:1\n' in lines, any('Step 2/5 : ARG WORD=none' in line for line in lines)]
    return [image.tags, image.labels, said.decode(), told, client.images.remove('built:1') is None]


@step
def build_of_a_folder():
    folder = os.path.join(FOLDER, 'context')
    os.mkdir(folder)
    files = {'Dockerfile': 'FROM box\n', 'Other': 'FROM box AS one\nCOPY . /c/\nFROM one\nRUN false\n'}
    files.update({'.dockerignore': 'left\n', 'left': 'x', 'kept': 'y'})
    for name, text in files.items():
        with open(os.path.join(folder, name), 'w') as file:
            file.write(text)
    options = {'dockerfile': 'Other', 'target': 'one', 'labels': {'x': 'y'}, 'gzip': True, 'rm': True}
    image, _log = client.images.build(path=folder, **options)
    seen = run('ls /c', image=image.id)
    client.images.remove(image.id)
    return [seen.decode().split(), image.labels]


@step
def build_that_fails():
    try:
        client.images.build(fileobj=io.BytesIO(b'FROM box\nRUN echo before; exit 3\n'), forcerm=True)
    except BuildError as error:
        log = [line['stream'] for line in error.build_log if 'stream' in line]
        return [error.msg, 'before\n' in log, status_of(client.images.build, fileobj=io.BytesIO(b'FORM box\n'))]


@step
def image_prune():
    client.images.build(fileobj=io.BytesIO(b'FROM box\nLABEL left=over\n'), rm=True)
    pruned = client.images.prune(filters={'dangling': True})
    return [sorted(pruned), len(pruned['ImagesDeleted']) > 0, sorted(client.images.prune_builds())]


# Containers


@step
def run_and_its_output():
    both = run(['sh', '-c', 'echo out; echo err >&2'], stdout=True, stderr=True)
    err = run(['sh', '-c', 'echo out; echo err >&2'], stdout=False, stderr=True)
    return [run('echo "one two"').decode(), sorted(both.decode().split()), err.decode()]


@step
def run_that_fails():
    try:
        run(['sh', '-c', 'echo why >&2; exit 3'])
    except ContainerError as error:
        return [error.exit_status, error.stderr.decode(), error.image if isinstance(error.image, str) else 'image']


@step
def run_in_pieces():
    pieces = [piece.decode() for piece in run('seq 3', stream=True, remove=False, name='pieces')]
    client.containers.get('pieces').remove()
    return ''.join(pieces)


@step
def run_of_what_is_not_there():
    lost = status_of(start, 'true', network='nosuch', network_mode=None, name='lost-network')
    answers = [status_of(run, 'nosuch-program', name='lost-program'), lost]
    for container in client.containers.list(all=True, filters={'name': 'lost-'}):
        container.remove()
    return answers


@step
def run_with_options():
    script = 'echo $A; id -u; pwd; hostname; ulimit -n; cat /proc/sys/kernel/shmmax >/dev/null; touch /x 2>&1; '
    script += 'stat -f -c %T /t /dev/shm; grep -c CapEff:.0000000000000000 /proc/self/status; grep h1 /etc/hosts'
    output = run(
        ['-c', script],
        entrypoint='/bin/sh',
        environment={'A': 'b'},
        user='7',
        working_dir='/tmp',
        hostname='named',
        ulimits=[Ulimit(name='nofile', soft=1024, hard=2048)],
        read_only=True,
        tmpfs={'/t': 'size=1m'},
        shm_size='1m',
        cap_drop=['ALL'],
        extra_hosts={'h1': '10.0.0.1'},
        log_config=LogConfig(type='json-file', config={'max-size': '1m'}),
        labels=['l'],
        network_mode=None,
        oom_kill_disable=False,
        privileged=False,
    )
    return output.decode().split('\n')


@step
def mounts():
    folder = os.path.join(FOLDER, 'mounted')
    os.mkdir(folder)
    with open(os.path.join(folder, 'file'), 'w') as file:
        file.write('of the host')
    container = start(
        ['sh', '-c', 'cat /b/file; echo kept >/v/x; touch /b/y 2>&1; echo $?'],
        volumes={folder: {'bind': '/b', 'mode': 'ro'}, 'named': {'bind': '/v', 'mode': 'rw'}},
        mounts=[Mount('/m', 'other', type='volume', labels={'k': 'v'}), Mount('/t', None, type='tmpfs')],
    )
    container.wait()
    container.reload()
    seen = sorted([m['Type'], m['Destination'], m.get('Name'), m['RW']] for m in container.attrs['Mounts'])
    kept = run('cat /v/x', volumes=['named:/v'])
    busy = refused(client.volumes.get('named').remove)
    output = container.logs().decode().split('\n')
    container.remove(v=True)
    for name in ['named', 'other']:
        client.volumes.get(name).remove()
    return [output, seen, kept.decode(), busy[:2]]


@step
def published_port():
    ports = {'80/tcp': ('127.0.0.1', None), '81/udp': None}
    container = start(['nc', '-ll', '-p', '80', '-e', 'echo', 'hello'], network_mode=None, ports=ports)
    container.reload()
    number = int(container.ports['80/tcp'][0]['HostPort'])

    def answer():
        try:
            with socket.create_connection(('127.0.0.1', number), timeout=10) as connection:
                return connection.makefile('rb').read()
        except OSError:
            return b''

    said = until(answer)
    host = client.api.port(container.id, 80)[0]['HostIp']
    shape = {key: sorted({b['HostIp'] for b in value or []}) for key, value in container.ports.items()}
    container.remove(force=True)
    return [said.decode(), host, shape]


@step
def life():
    container = client.containers.create('box', 'sleep 1000', name='life', network_mode='none', labels={'x': 'y'})
    states = [container.status, container.labels, container.image.tags, container.name]
    container.start()
    container.start()
    for act in [
        lambda: container.rename('lives'),
        lambda: container.restart(timeout=0),
        lambda: container.stop(timeout=0),
        lambda: container.stop(),
        lambda: container.start(),
        lambda: container.kill('SIGKILL'),
        lambda: container.wait(),
    ]:
        act()
        container.reload()
        states.append([container.name, container.status, container.attrs['State']['ExitCode']])
    twice = refused(client.containers.create, 'box', name='lives')
    dead = refused(container.kill)
    container.start()
    runs = refused(container.remove)
    container.remove(force=True)
    return [states, twice, dead, runs, refused(client.containers.get, 'lives')]


@step
def signals():
    container = start(['sh', '-c', 'trap "echo caught; exit 4" USR1; echo ready; while :; do sleep 0.1; done'])
    until(lambda: b'ready' in container.logs())
    bad = refused(container.kill, 'NOPE')
    container.kill('SIGUSR1')
    code = container.wait()['StatusCode']
    output = container.logs().decode()
    container.remove()
    return [code, output, bad]


@step
def wait_for_conditions():
    container = client.containers.create('box', ['sh', '-c', 'exit 5'], network_mode='none', auto_remove=True)
    container.start()
    removed = until(lambda: gone(container))
    other = start('sleep 1000')
    try:
        other.wait(timeout=1)
    except Exception as error:
        late = type(error).__name__ in ('ConnectionError', 'ReadTimeout')
    other.remove(force=True)
    ended = start(['sh', '-c', 'exit 6'])
    codes = [ended.wait(condition='not-running')['StatusCode'], ended.wait()['StatusCode']]
    bad = refused(ended.wait, condition='nonsense')
    ended.remove()
    return [removed, late, codes, bad]


def gone(container):
    try:
        container.reload()
    except docker.errors.NotFound as error:
        return error.explanation
    return None


@step
def logs():
    container = start(['sh', '-c', 'echo 1; echo 2; sleep 0.2; echo e >&2'])
    followed = b''.join(container.logs(stream=True, follow=True)).decode()
    times = container.logs(timestamps=True, stderr=False).decode()
    assert all(re.match(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z \d$', line) for line in times.split('\n')[:-1])
    now = int(time.time()) + 10
    parts = [container.logs(stderr=False), container.logs(stdout=False), container.logs(tail=1), container.logs(tail=0)]
    parts += [container.logs(since=now), container.logs(until=1), container.logs(since=1, tail=2)]
    neither = refused(container.logs, stdout=False, stderr=False)
    container.remove()
    return [sorted(followed.split()), [part.decode() for part in parts], neither]


@step
def log_of_a_terminal():
    container = start(['sh', '-c', 'echo 1; echo 2 >&2'], tty=True)
    container.wait()
    output = container.logs().decode()
    container.remove()
    return output


@step
def attach():
    container = client.containers.create('box', ['sh', '-c', 'echo begins; read x; echo end $x >&2'], stdin_open=True)
    stream = container.attach_socket(params={'stdin': 1, 'stdout': 1, 'stderr': 1, 'stream': 1})
    container.start()
    stream._sock.sendall(b'word\n')
    stream._sock.shutdown(socket.SHUT_WR)
    frames = [[number, piece.decode()] for number, piece in frames_iter(stream, tty=False)]
    stream.close()
    container.wait()
    container.remove()
    return sorted(frames)


@step
def attach_to_one_that_runs():
    container = start(['sh', '-c', 'while [ ! -e /go ]; do echo early; sleep 0.1; done; echo late'])
    pieces = container.attach(stream=True, logs=False)
    first = next(pieces)
    container.exec_run('touch /go')
    rest = b''.join(pieces)
    container.remove()
    return [first.decode().split('\n')[0], rest.decode().split('\n')[-2:]]


@step
def exec_run():
    container = start('sleep 1000', environment={'A': 'b'})
    script = ['sh', '-c', 'echo out; echo err >&2; exit 3']
    results = [container.exec_run('echo "a b"'), container.exec_run(script, demux=True)]
    options = {'environment': ['B=c'], 'user': '7', 'workdir': '/tmp'}
    results.append(container.exec_run(['sh', '-c', 'echo $A $B; id -u; pwd'], **options))
    results.append(container.exec_run('tty', tty=True))
    results.append(container.exec_run(script, stdout=False))
    pieces = b''.join(container.exec_run('seq 3', stream=True).output).decode()
    container.exec_run(['sh', '-c', 'echo >/made'], detach=True)
    until(lambda: container.exec_run('test -e /made').exit_code == 0)
    missing = container.exec_run('nosuch-program').exit_code
    container.remove(force=True)
    shown = [[r.exit_code, [p and p.decode() for p in r.output] if isinstance(r.output, tuple) else r.output.decode()]
             for r in results]
    return [shown, pieces, missing in (126, 127)]


@step
def exec_by_parts():
    container = start('sleep 1000')
    made = client.api.exec_create(container.id, ['sh', '-c', 'read x; echo got $x'], stdin=True)['Id']
    before = client.api.exec_inspect(made)
    stream = client.api.exec_start(made, socket=True)
    stream._sock.sendall(b'word\n')
    frames = [[number, piece.decode()] for number, piece in frames_iter(stream, tty=False)]
    stream.close()
    after = until(lambda: (lambda found: not found['Running'] and found)(client.api.exec_inspect(made)))
    container.kill()
    container.wait()
    stopped = refused(container.exec_run, 'true')
    container.remove()
    none = refused(client.api.exec_inspect, 'nosuch')
    keys = ['Running', 'ExitCode', 'OpenStdin', 'OpenStdout', 'ProcessConfig']
    return [frames, [[each[key] for key in keys] for each in (before, after)], stopped, none]


@step
def archives():
    container = client.containers.create('box', 'cat /tmp/deep/a', network_mode='none')
    assert container.put_archive('/tmp', tar_of(a='first', **{'deep/a': 'second'}))
    container.start()
    container.wait()
    chunks, stat = container.get_archive('/tmp/deep')
    one, one_stat = container.get_archive('/tmp/a', chunk_size=1)
    stats_of = [stat['name'], one_stat['name'], one_stat['size']]
    found = [container.logs().decode(), members(chunks), members(one), stats_of]
    missing = [refused(container.get_archive, '/nosuch'), refused(container.put_archive, '/nosuch', tar_of(a='x'))]
    container.remove()
    return [found, sorted(stat), stat['mode'] >> 31, missing]


@step
def stats():
    container = start('sleep 1000')
    once = container.stats(stream=False)
    two = [next(samples)['read'] for samples in [container.stats(decode=True)] for _ in range(2)]
    container.remove(force=True)
    assert once['precpu_stats']['cpu_usage']['total_usage'] <= once['cpu_stats']['cpu_usage']['total_usage']
    parts = {key: sorted(once[key]) for key in ['cpu_stats', 'precpu_stats'] if key in once}
    return [sorted(key for key in once if key not in ('networks',)), parts, two[0] < two[1], once['name'] != '']


@step
def top():
    container = start(['sh', '-c', 'sleep 1000'], init=False)
    default = container.top()
    some = container.top(ps_args='-o pid,args')
    container.remove(force=True)
    return [default['Titles'], [row[-1] for row in default['Processes']], some['Titles']]


@step
def changes_export_and_commit():
    container = start(['sh', '-c', 'echo x >/tmp/made; rm /etc/group'])
    container.wait()
    changes = sorted([each['Kind'], each['Path']] for each in container.diff())
    names = members(container.export())
    changed = ['ENV A=b', 'CMD ["cat", "/tmp/made"]']
    image = container.commit('committed', '1', message='why', author='me', changes=changed)
    output = run(image='committed:1')
    found = [image.tags, image.attrs['Comment'], image.attrs['Author'], image.attrs['Config']['Env'][-1]]
    container.remove()
    client.images.remove('committed:1')
    return [changes, 'tmp/made' in names, 'etc/group' in names, found, output.decode()]


@step
def update():
    container = start('sleep 1000')
    container.update(restart_policy={'Name': 'on-failure', 'MaximumRetryCount': 3})
    container.reload()
    policy = container.attrs['HostConfig']['RestartPolicy']
    container.remove(force=True)
    return policy


@step
def size_of_a_terminal():
    container = start('sleep 1000', tty=True)
    container.resize(24, 81)
    size = container.exec_run(['sh', '-c', 'stty size </proc/1/fd/0']).output.decode()
    container.remove(force=True)
    return size


@step
def container_list():
    names = ['l-one', 'l-two', 'l-three']
    one, two, three = [start(['sh', '-c', 'exit 3'], name=name, labels={'of': name}) for name in names]
    four = start('sleep 1000', name='l-four')
    for each in (one, two, three):
        each.wait()

    def listed(**options):
        options['filters'] = {'name': 'l-', **options.get('filters', {})}
        return [found.name for found in client.containers.list(**options)]

    answers = [
        listed(),
        listed(all=True),
        listed(all=True, limit=2),
        listed(all=True, before='l-three'),
        listed(all=True, since='l-one'),
        listed(filters={'status': 'exited'}),
        listed(all=True, filters={'exited': 3, 'label': 'of=l-two'}),
        listed(filters={'label': ['of=l-two', 'x']}),
        listed(filters={'ancestor': 'box'}),
        listed(filters={'ancestor': 'nosuch'}),
    ]
    sparse = client.containers.list(sparse=True, filters={'name': 'l-four'})[0]
    row = [sparse.attrs['Command'], sparse.attrs['State'], sparse.attrs['Ports'], sorted(sparse.attrs)]
    bad = refused(client.containers.list, filters={'nonsense': 'x'})
    pruned = client.containers.prune(filters={'label': 'of=l-one'})
    left = listed(all=True)
    for each in (two, three, four):
        each.remove(force=True)
    return [answers, row, bad, [sorted(pruned), len(pruned['ContainersDeleted'])], left]


@step
def container_inspect():
    container = start('sleep 1000', name='looked')
    attributes = container.attrs
    container.remove(force=True)
    keys = ['Config', 'State', 'HostConfig', 'NetworkSettings']
    nulls = sorted(key for key, value in attributes['Config'].items() if value is None)
    attributes.pop('Isolation', None)
    return [sorted(attributes), {key: sorted(attributes[key]) for key in keys[:2]}, nulls, attributes['Args']]


@step
def health():
    check = Healthcheck(test=['CMD-SHELL', 'test -e /ready'], interval=300_000_000, timeout=60_000_000_000, retries=1)
    container = start('sleep 1000', healthcheck=check)

    def state():
        container.reload()
        return container.attrs['State']['Health']['Status']

    seen = [until(lambda: state() == 'unhealthy')]
    container.exec_run('touch /ready')
    seen.append(until(lambda: state() == 'healthy'))
    last = container.attrs['State']['Health']['Log'][-1]
    container.remove(force=True)
    return [seen, sorted(last), last['ExitCode']]


@step
def restart_policy():
    container = start('false', restart_policy={'Name': 'on-failure', 'MaximumRetryCount': 2})

    def count():
        container.reload()
        return container.attrs['RestartCount'] == 2 and container.status == 'exited'

    until(count)
    state = container.attrs['State']
    container.remove()
    return [state['Status'], state['ExitCode'], state['Restarting']]


@step
def events():
    since = int(time.time()) - 1
    container = start('true', name='told')
    container.wait()
    container.remove()
    until(lambda: int(time.time()) > since + 2)
    lines = list(
        client.events(since=since, until=int(time.time()) + 1, decode=True, filters={'container': container.id})
    )
    shapes = [[line['Type'], line['Action'], line['status'], line['from'], line['scope']] for line in lines]
    return [shapes, lines[-2]['Actor']['Attributes']['name'], sorted(lines[0])]


@step
def events_as_they_come():
    stream = client.events(decode=True, filters={'type': 'volume'})
    volume = client.volumes.create('told')
    volume.remove()
    told = [[line['Action'], line['Actor']] for line in (next(stream), next(stream))]
    stream.close()
    return told


# Networks and volumes


@step
def networks():
    pool = IPAMPool(subnet='10.77.0.0/24', gateway='10.77.0.1')
    network = client.networks.create('n1', driver='bridge', labels={'a': 'b'}, ipam=IPAMConfig(pool_configs=[pool]))
    inner = client.networks.create('n2', internal=True)
    keys = ['Name', 'Driver', 'Scope', 'Internal', 'Attachable', 'EnableIPv6', 'Labels', 'Options', 'IPAM', 'Ingress']
    network.reload()
    shown = {key: network.attrs[key] for key in keys}
    shown['IPAM'].pop('Options')
    lists = [client.networks.list(names=['n1']), client.networks.list(filters={'label': 'a=b'})]
    lists.append(client.networks.list(ids=[inner.id], greedy=True))
    known = sorted(each.name for each in client.networks.list() if each.name in ('bridge', 'host', 'none'))
    twice = refused(client.networks.create, 'n1', check_duplicate=True)
    none = refused(client.networks.get, 'nosuch')
    bad = status_of(client.networks.create, 'n3', driver='nosuch')
    inner.remove()
    pruned = client.networks.prune(filters={'label': 'a=b'})
    return [shown, [[each.name for each in found] for found in lists], known, twice, none, bad, pruned]


@step
def network_of_two():
    network = client.networks.create('pair', ipam=IPAMConfig(pool_configs=[IPAMPool(subnet='10.78.0.0/24')]))
    one = start('sleep 1000', name='one', network='pair', network_mode=None)
    two = start('sleep 1000', name='two')
    late = refused(network.connect, two, aliases=['second'])
    two.remove(force=True)
    two = client.containers.create('box', 'sleep 1000', name='two')
    network.connect(two, aliases=['second'], ipv4_address='10.78.0.9')
    two.start()
    network.reload()
    members_of = sorted(each.name for each in network.containers)
    two.reload()
    endpoint = two.attrs['NetworkSettings']['Networks']['pair']
    # an answer of the container's name server alone: no packet needs to come back
    found = until(lambda: '10.78.0.9' in one.exec_run('nslookup second').output.decode())
    again = status_of(network.connect, two)
    busy = status_of(network.remove)
    network.disconnect(two)
    network.disconnect(one, force=True)
    for each in (one, two):
        each.remove(force=True)
    network.remove()
    wanted = endpoint['IPAMConfig']['IPv4Address'], endpoint['IPAddress'], 'second' in endpoint['Aliases']
    return [late[:2], members_of, wanted, found, again, busy]


@step
def volumes():
    volume = client.volumes.create('v1', labels={'a': 'b'})
    assert client.volumes.create('v1') == volume
    nameless = client.volumes.create()
    shown = {key: volume.attrs[key] for key in ['Name', 'Driver', 'Labels', 'Options', 'Scope']}
    lists = [[each.name for each in client.volumes.list(filters=by)] for by in ({'label': 'a=b'}, {'name': 'v1'})]
    none = refused(client.volumes.get, 'nosuch')
    bad = status_of(client.volumes.create, 'v2', driver='nosuch')
    nameless.remove()
    volume.remove(force=True)
    made = client.volumes.create()
    pruned = client.volumes.prune()
    return [shown, lists, none, bad, sorted(pruned), pruned['VolumesDeleted'] == [made.name]]


@step
def disk_usage():
    container = start('true')
    container.wait()
    found = client.df()
    container.remove()
    kinds = {key: type(found[key]).__name__ for key in ['Images', 'Containers', 'Volumes']}
    names = sorted(tag for image in found['Images'] for tag in image['RepoTags'] or [])
    row = sorted(key for key in found['Containers'][0] if key != 'SizeRw')
    return [kinds, row, found['LayersSize'] > 0, names]


@step
def nothing_is_left():
    """What a failed step has left would be found here; then it goes."""
    left = [container.attrs['Config']['Cmd'] for container in client.containers.list(all=True)]
    for container in client.containers.list(all=True):
        container.remove(force=True, v=True)
    client.images.remove('box')
    tags = [tag for image in client.images.list() for tag in image.tags]
    return [left, [volume.name for volume in client.volumes.list()], tags]


def plain(value):
    """JSON without what differs from one run to the next."""
    text = json.dumps(value, sort_keys=True)
    for pattern, word in [
        (r'127\.0\.0\.1:\d+', 'REGISTRY'),
        (r'\b[0-9a-f]{64}\b', 'ID'),
        (r'\b[0-9a-f]{12}\b', 'ID'),
        (r'\d{4}-\d\d-\d\dT[0-9:.]+Z', 'TIME'),
    ]:
        text = re.sub(pattern, word, text)
    return json.loads(text)


def too_late(*_):
    raise TimeoutError('it has not ended within %d s' % PATIENCE)


signal.signal(signal.SIGALRM, too_late)
for each in STEPS:
    outcome = {'name': each.__name__}
    signal.alarm(PATIENCE)
    try:
        outcome['result'] = plain(each())
    except Exception as error:
        outcome['error'] = '%s: %s' % (type(error).__name__, str(error)[:2000])
    signal.alarm(0)
    print(json.dumps(outcome), flush=True)
