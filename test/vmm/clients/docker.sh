# a container in front
docker run --rm -i box sh -c 'cat; echo err >&2; exit 7' < names.txt
= ^ada\ngrace$
docker run --rm box nosuch
script -qec "stty rows 33 cols 77; docker run --rm -it box sh -c 'stty size; tty; exit 5'" /dev/null < /dev/null > tty.txt; code=$?; sed 's/\^@//g' tty.txt; exit $code
docker run --name first -e A=1 -l color=red -h inside -w /srv -u daemon box sh -c 'echo $A; hostname; pwd; id -un; echo err >&2; exit 3'
docker ps -a --format '{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Ports}}'
docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}} {{.State.OOMKilled}} {{.Config.Hostname}} {{.Config.User}}' first
docker logs first
docker start -a first
docker logs first 2>/dev/null | wc -l
docker rm first
# a container behind, on a network, with a port, a volume and a bind
docker network create net | wc -c
docker volume create vol
docker run -d --name one --network net --network-alias uno -p 127.0.0.1:0:80 -v vol:/vol -v "$PWD/tree:/bind" -e FROM=run -l color=red -w /srv -h inside box sh -c 'trap "echo bye; exit 4" TERM; echo up; echo oops >&2; hostname >/vol/name; hostname >/srv/name; httpd -p 80 -h /srv; sleep 1000 & wait' | wc -c
docker ps --format '{{.Names}} {{.Image}} {{.State}} {{.Networks}} {{.Ports}}' | sed 's/:[0-9]*->/:PORT->/'
docker inspect -f '{{.State.Status}} {{.State.Running}} {{.Config.WorkingDir}} {{index .Config.Labels "color"}} {{range .Mounts}}{{println}}{{.Type}} {{.Destination}} {{.RW}}{{end}}{{println}}{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{$net.Aliases}}{{end}}' one | sort
docker port one | sed 's/:[0-9]*$/:PORT/'
for i in $(seq 100); do busybox wget -qO- "http://$(docker port one 80)/name" && break; sleep 0.2; done
= ^inside$
docker network inspect -f '{{range .Containers}}{{.Name}}{{end}} {{len .IPAM.Config}}' net
docker volume inspect -f '{{.Name}} {{.Driver}}' vol
# its execs
docker exec one sh -c 'echo out; echo err >&2; exit 6'
docker exec -e X=y -e FROM=exec -u daemon -w /tmp one sh -c 'echo $X $FROM; id -un; pwd'
docker exec -u 1234:567 one id
docker exec -i one sh -c 'cat; cat >&2' < names.txt
docker exec -i one sha256sum < /bin/busybox
docker exec one cat /bin/busybox | sha256sum
docker exec -t one sh -c 'test -t 1 && echo tty' | tr -d '\r'
script -qec 'stty rows 20 cols 90; docker exec -it one sh -c "stty size; exit 9"' /dev/null < /dev/null > tty.txt; code=$?; sed 's/\^@//g' tty.txt; exit $code
= ^20 90\s*$
docker exec -d one sh -c 'echo behind >/tmp/made'
docker exec one sh -c 'until [ -s /tmp/made ]; do sleep 0.1; done; cat /tmp/made'
docker exec one nosuch
docker exec one /etc
docker exec -u nosuch one true
docker exec -w /nosuch one true
docker exec --privileged one grep CapEff /proc/self/status
docker exec one sh -c 'kill -9 $$'
docker exec nosuch true
# looks at it, and files of it
docker top one -o pid,comm | awk '{ print $2 }' | grep -v sleep | sort
= ^COMMAND\nhttpd\nsh$
docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}} {{.NetIO}}' one | grep -cE '^one [1-9][0-9]* [1-9][0-9.]*[KM]iB / [1-9][0-9.]*[MG]iB [0-9.]+k?B / [0-9.]+k?B$'
= ^1$
docker stats --no-stream --format '{{.CPUPerc}}' one | grep -cE '^[0-9]+\.[0-9]+%$'
= ^1$
docker cp names.txt one:/srv/; docker exec one cat /srv/names.txt
docker cp tree one:/srv; docker exec one find /srv | sort
docker cp one:/srv/tree copied; find copied | sort
docker cp one:/bind/leaf - | tar t
docker cp one:/nosuch x
tar c names.txt | docker cp - one:/vol; docker exec one ls /vol
docker diff one | grep -v /root | sort
docker exec one sh -c 'echo in >/bind/from-container'; cat tree/from-container
docker pause one; docker ps --format '{{.Status}}' | grep -o Paused; docker exec one true; docker unpause one
docker logs one
docker logs -t one 2>/dev/null | cut -d' ' -f2-
docker rename one uno; docker rename uno one; docker ps --format '{{.Names}}'
docker commit -m 'a message' -c 'CMD ["cat","/srv/names.txt"]' one made:1 | wc -c
docker export one | tar t | grep -E '^srv/' | sort
# names, and the socket of the server in a container
docker run --rm --network net -v vol:/vol:ro -v "$WORK/docker.sock:/run/docker.sock" -v "$WORK/unix-client:/client" box sh -c 'cat /vol/name; wget -qO- http://uno/name; wget -qO- http://one/names.txt; touch /vol/x; mkfifo /tmp/pipe; /client /run/docker.sock </tmp/pipe >/tmp/answer & exec 3>/tmp/pipe; printf "GET /containers/one/json HTTP/1.0\r\n\r\n" >&3; wait; grep -o -e "^HTTP/1.1 200 OK" -e "\"Hostname\":\"inside\"" /tmp/answer'
= ^inside\ninside\nada\ngrace\nHTTP/1\.1 200 OK\n"Hostname":"inside"$
# its ends, and what it leaves
docker kill -s TERM one; docker wait one
docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}' one
docker exec one true
docker logs --tail 1 one
docker restart -t 100 one; docker inspect -f '{{.State.Running}}' one; docker exec one cat /srv/names.txt
docker stop -t 100 one; docker inspect -f '{{.State.ExitCode}}' one
docker cp one:/srv/names.txt - | tar xO
docker run --rm made:1
= ^ada\ngrace$
docker events --since 1h --until 0s --filter container=one --format '{{.Action}}' | grep -E '^(create|start|die|kill|stop|restart|pause|unpause|rename|export|commit|attach)$' | sort | uniq -c
docker events --since 1h --until 0s --filter container=one --filter event=die --format '{{.Actor.Attributes.exitCode}}'
docker rm one; docker volume rm vol; docker network rm net; docker rmi made:1 | grep -c Untagged
# attach, health, logs that are followed
docker run -d -i --name talk --health-cmd 'test -e /tmp/made' --health-interval 1s box sh -c 'touch /tmp/made; read line; echo "got $line"; echo err >&2; exit 9' | wc -c
for i in $(seq 100); do docker ps --filter health=healthy --format '{{.Names}}' | grep talk && break; sleep 0.2; done
docker logs -f talk >followed 2>&1 & echo hello | docker attach talk; wait; cat followed
docker wait talk; docker logs talk; docker kill talk
docker rm talk; docker ps -aq
docker volume ls -q; docker network ls --format '{{.Name}}' | sort
