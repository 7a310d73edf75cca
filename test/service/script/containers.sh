# create, ps, inspect, start
docker create --name c1 box true
docker create --name c1 box true
docker create --name c2 -e A=1 -e B=2 -l color=red -l size=big -h inside -w /tmp -u daemon box sh -c 'echo $A$B; hostname; pwd; id -un; exit 7'
docker ps -aq | wc -l
docker ps -q
docker ps -a --format '{{.Names}} {{.Image}} {{.Command}} {{.Status}}' | sort
docker ps -a --no-trunc --format '{{.Names}} {{.Command}}' | sort
docker ps -a --filter name=c1 --format '{{.Names}}'
docker ps -a --filter label=color --format '{{.Names}}'
docker ps -a --filter label=color=red --filter label=size=big --format '{{.Names}}'
docker ps -a --filter label=color=blue --format '{{.Names}}'
docker ps -a --filter status=created --format '{{.Names}}' | sort
docker ps -a --filter status=running --format '{{.Names}}'
docker ps -a --filter status=bogus
docker inspect -f '{{.Name}}' c1 | tr -d /
docker inspect -f '{{.Config.Image}} {{.Config.Hostname}} {{.Config.User}} {{.Config.WorkingDir}}' c2
docker inspect -f '{{index .Config.Labels "color"}} {{.Config.Labels.size}}' c2
docker inspect -f '{{range .Config.Cmd}}[{{.}}]{{end}}' c2
docker inspect -f '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}' c2
docker inspect -f '{{json .Config.Cmd}}' c2
docker inspect -f '{{len .Config.Cmd}}' c2
docker inspect --type container -f '{{.State.Status}}' c2
docker inspect nosuch
docker inspect -f '{{.Nope.Nope}}' c2
docker start c2
docker wait c2
docker logs c2
docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.RestartCount}}' c2
docker start -a c2
docker logs c2
docker logs --tail 2 c2
docker logs -n 0 c2
docker logs -t --tail 1 c2 | cut -d' ' -f2-
docker start nosuch
docker start c1 nosuch
docker rename c1 first
docker rename first c2
docker rename nosuch x
docker ps -a --format '{{.Names}}' | sort
docker rm first c2 | sort
docker rm nosuch
docker rm -f nosuch
docker ps -aq
# run in front
docker run --rm box echo hello
docker run --rm box sh -c 'exit 3'
docker run --rm box sh -c 'kill -9 $$'
docker run --rm box nosuch
~ husk has no runc, whose name Docker's text has
docker run --rm box /etc
~ husk has no runc, whose name Docker's text has
docker run --rm box /etc/passwd
~ husk has no runc, whose name Docker's text has
docker run --rm nosuch:missing true
~ what a registry that cannot be reached is told as is each engine's own
docker run --rm --pull never nosuch:missing true
docker run --rm --bogus box true
docker run
docker run --rm -i box cat < names.txt
docker run --rm box cat < names.txt
docker run --rm -i box wc -c < /bin/busybox
docker run --rm -i box sha256sum < /bin/busybox
docker run --rm box cat /bin/busybox | sha256sum
docker run --rm box sh -c 'echo out; echo err >&2' 2>/dev/null
docker run --rm -a stderr box sh -c 'echo out; echo err >&2' 2>&1
docker run --rm -t box sh -c 'test -t 1 && echo tty' | tr -d '\r'
docker run --name kept box true; docker ps -a --format '{{.Names}}'; docker rm kept
docker run --cidfile cid.txt --rm box true; wc -c < cid.txt
docker run --cidfile cid.txt --rm box true
# a container behind, its execs and its ends
docker run -d --name bg box sh -c 'trap "exit 4" TERM; echo up; while :; do sleep 0.1; done' | wc -c
docker ps --format '{{.Names}} {{.State}}'
docker ps --filter name=bg --format '{{.Status}}' | cut -d' ' -f1
docker exec bg echo inside
docker exec -e X=y bg sh -c 'echo $X; exit 6'
docker exec bg nosuch
~ 127 for a command that is not there, as Docker has it from 27 on; 26 said 126
docker exec -u daemon -w /tmp bg sh -c 'id -un; pwd'
docker exec -i bg cat < names.txt
docker exec -d bg touch /tmp/made
docker exec bg sh -c 'for i in $(seq 300); do [ -e /tmp/made ] && break; sleep 0.1; done; ls /tmp/made'
docker exec -it bg true < /dev/null
docker exec nosuch true
docker exec bg
docker top bg -o comm | grep -x -e COMMAND -e sh | sort | uniq
docker stop bg
docker wait bg
docker inspect -f '{{.State.ExitCode}}' bg
docker exec bg true
docker logs bg
docker start bg
docker kill -s TERM bg
docker wait bg
docker kill bg
docker restart -t 1 bg
docker inspect -f '{{.State.Running}}' bg
docker kill -s NOPE bg
docker kill -s 0x bg
docker kill bg
docker wait bg
docker ps -a --filter exited=137 --format '{{.Names}}'
docker rm bg
# several containers, and what they wrote
docker run -d --name fast box true >/dev/null; docker wait fast; docker stop fast; docker rm fast
docker run -d --name a1 box sleep 100 >/dev/null; docker run -d --name a2 box sleep 100 >/dev/null
docker ps --format '{{.Names}}' | sort
docker ps -l --format '{{.Names}}'
docker ps -n 1 --format '{{.Names}}'
docker rm a1
docker stop -t 0 a1 a2 | sort
docker rm a1 a2 | sort
docker run -d --rm --name gone box sleep 100 >/dev/null; docker stop -t 0 gone; timeout 20 sh -c 'while docker inspect gone; do sleep 0.1; done' >/dev/null 2>&1; docker ps -q
docker run -d --name rmf box sleep 100 >/dev/null; docker rm -f rmf; docker ps -aq
docker run --rm --stop-signal INT --name sig -d box sh -c 'trap "exit 9" INT; while :; do sleep 0.1; done' >/dev/null; sleep 0.3; docker stop sig; timeout 20 sh -c 'while docker inspect sig; do sleep 0.1; done' >/dev/null 2>&1; docker ps -q
docker run --name out box sh -c 'for i in 1 2 3 4 5 6; do echo line $i; done'
docker logs --tail 2 out
docker logs --tail all out | wc -l
docker logs --since 1h out | wc -l
docker logs --until 1h out | wc -l
docker logs --tail x out
docker logs nosuch
docker rm out
docker run -d --name follow box sh -c 'for i in 1 2 3; do echo $i; sleep 0.2; done' >/dev/null; docker logs -f follow; docker rm follow
# flags of run
docker run --rm -e A=1 --env B=2 --env-file env.txt box sh -c 'echo $A $B $FROM_FILE'
docker run --rm -e NOVALUE box sh -c 'echo [$NOVALUE]'
docker run --rm -w /usr box pwd
docker run --rm -w /made/here box pwd
docker run --rm -u 1234:567 box id
docker run --rm -u daemon box id -un
docker run --rm --group-add 77 box id -G
docker run --rm --entrypoint echo box a b
docker run --rm --entrypoint '' box echo c
docker run --rm -h myhost box hostname
docker run --rm -h myhost --domainname example.org box hostname
docker run --rm --add-host db:10.1.2.3 -h me box grep '	db$' /etc/hosts
docker run --rm --dns 10.9.8.7 --dns-search example.org --dns-option ndots:3 box cat /etc/resolv.conf
~ Docker writes comments into /etc/resolv.conf
docker run --rm --network none box sh -c 'ls /sys/class/net'
docker run --rm --network host box sh -c 'ls /sys/class/net | wc -l' | sed 's/[1-9][0-9]*/some/'
docker run --rm --network nosuch box true
docker run --rm --read-only box touch /x
docker run --rm --read-only --tmpfs /t box sh -c 'touch /t/x && echo written'
docker run --rm --tmpfs /t:size=1m,mode=700 box sh -c 'stat -c %a /t; df -k /t | tail -1 | awk "{print \$2}"'
docker run --rm --shm-size 2m box sh -c 'df -k /dev/shm | tail -1 | awk "{print \$2}"'
docker run --rm --ulimit nofile=123:456 box sh -c 'ulimit -n; ulimit -Hn'
docker run --rm --ulimit bogus=1 box true
docker run --rm --cap-drop ALL box sh -c 'grep CapEff /proc/self/status'
docker run --rm --cap-drop ALL --cap-add CHOWN box sh -c 'grep CapEff /proc/self/status'
docker run --rm --cap-add BOGUS box true
~ husk's text does not say which of the two flags named the capability
docker run --rm --privileged box sh -c 'grep CapEff /proc/self/status'
~ the reference has the bounding set of this machine's root; in a user namespace there is all of it
docker run --rm --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status
docker run --rm --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status
docker run --rm --security-opt bogus=1 box true
docker run --rm --sysctl net.ipv4.ip_unprivileged_port_start=0 box cat /proc/sys/net/ipv4/ip_unprivileged_port_start
docker run --rm --sysctl kernel.domainname=x box cat /proc/sys/kernel/domainname
docker run --rm --init box sh -c 'cat /proc/1/comm | wc -l'
~ Debian's engine comes without docker-init
docker run --rm --pid host box sh -c 'test $$ -gt 2 && echo host pids'
docker run --rm --ipc host box true
docker run --rm --uts host box hostname | cmp - /proc/sys/kernel/hostname
docker run --rm --ipc none box sh -c 'ls -d /dev/shm'
docker run --rm --oom-score-adj 500 box cat /proc/self/oom_score_adj
docker run --rm --platform linux/amd64 box uname -m
docker run --rm --label-file labels.txt --name lf -d box sleep 100 >/dev/null; docker inspect -f '{{.Config.Labels.fromfile}}' lf; docker rm -f lf
docker run --rm --annotation a=b --name an -d box sleep 100 >/dev/null; docker inspect -f '{{index .HostConfig.Annotations "a"}}' an; docker rm -f an
docker run --restart bogus box true
docker run --rm --restart always box true
docker run --rm --log-driver bogus box true
~ Docker has plugins for logs; husk's text names the drivers that there are
docker run -d --name joined box sleep 100 >/dev/null; docker run --rm --network container:joined --ipc container:joined --pid container:joined box sh -c 'ps | grep -c "[s]leep 100"'; docker rm -f joined
~ another text for an IPC namespace that is not shareable
docker run --rm --network container:nosuch box true
docker run --rm -v relative/path:/x box true
docker run --rm --stop-timeout 1 --name st -d box sh -c 'trap "" TERM; while :; do sleep 0.1; done' >/dev/null; sleep 0.3; docker stop st; timeout 20 sh -c 'while docker inspect st; do sleep 0.1; done' >/dev/null 2>&1; docker ps -q
docker run --rm --health-cmd true box true
docker run --rm --no-healthcheck box true
docker run --rm --memory 1 box true
docker run --rm -m abc box true
docker run --rm --cpus bogus box true
docker run --rm --cpuset-cpus 999 box true
# restart policies
docker run -d --name often --restart on-failure:2 box sh -c 'echo try; exit 1' >/dev/null; docker wait often; for i in $(seq 100); do [ "$(docker inspect -f '{{.RestartCount}} {{.State.Status}}' often)" = '2 exited' ] && break; sleep 0.2; done; docker logs often | wc -l
docker inspect -f '{{.RestartCount}} {{.State.Status}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' often
docker rm often
docker run -d --name ever --restart always box sleep 100 >/dev/null; docker stop -t 0 ever; docker inspect -f '{{.State.Status}}' ever; docker rm ever
docker run -d --name up --restart unless-stopped box sleep 100 >/dev/null; docker update --restart no up; docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' up; docker rm -f up
# health
docker run -d --name sick --health-cmd 'exit 1' --health-interval 1s --health-retries 1 box sleep 100 >/dev/null; for i in $(seq 15); do docker ps -q --filter health=unhealthy | grep -q . && break; sleep 0.5; done; docker inspect -f '{{.State.Health.Status}} {{(index .State.Health.Log 0).ExitCode}}' sick; docker ps --filter health=unhealthy --format '{{.Names}}'
docker rm -f sick
docker run -d --name well --health-cmd 'echo fine' --health-interval 1s box sleep 100 >/dev/null; for i in $(seq 15); do docker ps -q --filter health=healthy | grep -q . && break; sleep 0.5; done; docker inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' well; docker ps --format '{{.Names}} {{.Status}}' | grep -o healthy
docker rm -f well
# cp, diff, commit, export
docker run -d --name files box sh -c 'mkdir -p /data/sub; echo one > /data/one; ln -s one /data/link; ln -s /etc/passwd /data/abs; echo two > /data/sub/two; rm /etc/group; exec sleep 1000' >/dev/null; for i in $(seq 100); do docker exec files test -e /etc/group || break; sleep 0.1; done
docker cp files:/data/one - | tar t
docker cp files:/data/one copied; cat copied
docker cp files:/data copied-dir; ls -R copied-dir
docker cp files:/data/. copied-dir2; ls copied-dir2
docker cp -L files:/data/link followed; cat followed
docker cp files:/data/link unfollowed; readlink unfollowed
docker cp files:/nosuch x
docker cp names.txt files:/data/
docker exec files cat /data/names.txt
docker cp names.txt files:/data/renamed
docker exec files ls -l /data/renamed | cut -d' ' -f1
docker cp names.txt files:/no/such/dir/x
docker cp tree files:/data
docker exec files find /data/tree | sort
docker cp tree/. files:/data/flat
docker exec files find /data/flat | sort
tar c names.txt | docker cp - files:/tmp; docker exec files ls /tmp
docker cp files:/data nosuch:/x
docker cp a b
docker cp nosuch:/x y
docker diff files | grep -v '/root' | sort
docker stop -t 0 files
docker cp files:/data/sub/two two; cat two
docker cp names.txt files:/stopped; docker cp files:/stopped - | tar xO
docker diff files | grep stopped
docker commit -m 'a message' -a me -c 'ENV X=committed' -c 'CMD ["cat","/data/one"]' -c 'WORKDIR /data' -c 'LABEL made=yes' -c 'EXPOSE 80' -c 'USER daemon' files made:v1 | sed 's/sha256://' | wc -c
docker run --rm made:v1
docker run --rm made:v1 sh -c 'echo $X; pwd; id -un; cat sub/two; ls /etc/group'
docker inspect -f '{{.Config.Cmd}} {{.Config.User}} {{.Config.WorkingDir}} {{.Config.Labels.made}}' made:v1
docker inspect -f '{{.Author}} {{.Comment}}' made:v1
docker commit -c 'FROM x' files
docker commit nosuch
docker export files | tar t | grep -E 'data/|group' | sort
docker export -o files.tar files; tar tf files.tar | grep -c data
docker import files.tar imported:1 >/dev/null; docker run --rm imported:1 cat /data/one
docker rm files
docker rmi made:v1 imported:1 | grep -c Untagged
# pause, update, stats, events, wait
docker run -d --name occupied box sleep 1000 >/dev/null
docker stats --no-stream --format '{{.Name}}' occupied
docker stats --no-stream nosuch
docker port occupied
docker port nosuch
docker events --since 1h --until 0s --filter container=occupied --filter event=start --format '{{.Type}} {{.Action}}' 
docker events --since 1h --until 0s --filter container=occupied --format '{{.Action}}' | grep -cE '^(create|init|start)$'
docker update --memory bogus occupied
docker update nosuch
docker wait nosuch
docker rm -f occupied
# the container forms
docker container create --name cc box true >/dev/null; docker container ls -a --format '{{.Names}}'; docker container start -a cc; docker container inspect -f '{{.State.ExitCode}}' cc
docker container rename cc dd; docker container rm dd; docker container ls -aq
docker container run --rm box echo container form
docker create --name p1 box true >/dev/null; docker run --name p2 box true; docker container prune -f | grep -v reclaimed | wc -l
docker container ls -aq
docker container prune -f --filter until=1h | grep -c reclaimed
docker container prune -f --filter label=x; docker container bogus
