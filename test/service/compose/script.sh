# the project as compose reads it
docker compose version --short | wc -l
docker compose config --services | sort
docker compose --profile tools config --services | sort
docker compose config --volumes
docker compose config --images | sort
docker compose config --profiles
docker compose config --hash job
docker compose config --quiet
docker compose -f compose.yaml -f more.yaml config --services | sort
docker compose -f nosuch.yaml config 2>&1 | sed "s|$PWD/||"
docker compose -f - config < token.txt
docker compose bogus
docker compose ls
docker compose ps
docker compose up -d nosuch
docker compose down
# build, create, up
docker compose build --quiet
docker compose build --quiet nosuch
docker compose build --quiet --build-arg GREETING=other app
docker run --rm shop-app cat /greeting
said docker compose create job
docker compose ps -a --format '{{.Service}} {{.State}} {{.Name}} {{.Image}} {{.Project}}'
said docker compose up -d
said docker compose up -d
docker compose ps -aq | sort > before; docker compose up -d 2>/dev/null; docker compose ps -aq | sort | cmp - before
docker compose up -d --wait 2>/dev/null; docker compose ps -a --format '{{.Service}} {{.State}} {{.Health}} {{.ExitCode}}' | sort
docker compose ps --services | sort
docker compose ps -a --services --status exited
docker compose ps --services --filter status=running | sort
docker compose ps -q | wc -l
docker compose ps -q web app | wc -l
docker compose ps web --format '{{.Ports}}' | sed 's/:[0-9]*-/:PORT-/'
docker compose ps nosuch
docker compose ps --format json web | grep -oE '"(Service|State|Health|Name|Project|ExitCode|Command|LocalVolumes|Networks)":"?[^",]*' | sort
docker compose ps | wc -l
docker compose ls --format json | sed 's/"ConfigFiles.*//'
docker compose ls -q
docker compose ls --filter name=nosuch -q
docker compose images --format json | grep -oE '"(Repository|Tag|ContainerName)":"[^"]*"' | sort
docker compose images -q web | wc -l
docker ps --filter label=com.docker.compose.service=web --format '{{.Names}} {{.Labels}}' | grep -oE 'tier=edge|com.docker.compose.(project|service|oneoff|container-number)=[^,]*' | sort
docker network ls --filter label=com.docker.compose.project=shop --format '{{.Name}} {{.Driver}}' | sort
docker network inspect -f '{{.Internal}} {{index .Labels "com.docker.compose.network"}} {{len .Containers}}' shop_back
docker volume ls --filter label=com.docker.compose.project=shop --format '{{.Name}}'
docker volume inspect -f '{{index .Labels "kind"}} {{index .Labels "com.docker.compose.volume"}}' shop_data
# what runs in it
docker compose port web 80 | sed 's/:[0-9]*$/:PORT/'
docker compose port web 81 2>&1 | sed 's|[0-9]*/tcp$|PORT/tcp|'
docker compose port nosuch 80
wget -qO- http://$(docker compose port web 80)/index.html
docker compose exec -T web cat /etc/motd /run/secrets/token
docker compose exec -T web sh -c 'echo $FIRST $SECOND'
docker compose exec -T app sh -c 'cat /greeting; echo $BASE'
docker compose exec -T web wget -qO- http://app:8000/page
docker compose exec -T app wget -qO- http://www/
docker compose exec -T store wget -qO- http://app:8000/page
docker compose exec -T store wget -qO- http://www/ 2>&1 | tail -1
docker compose exec -T -e X=y -u daemon -w /tmp web sh -c 'echo $X; id -un; pwd'
docker compose exec -T web sh -c 'echo out; echo err >&2; exit 7'
docker compose exec -T web nosuch
~ 127 for a command that is not there, as Docker has it from 27 on; 26 said 126
docker compose exec -T nosuch true
docker compose exec -T job true
docker compose exec -T --index 2 web true
docker compose exec -T web cat < web.env
docker compose exec -d web touch /tmp/made; for i in $(seq 300); do docker compose exec -T web test -e /tmp/made && break; sleep 0.1; done; docker compose exec -T web ls /tmp/made
docker compose logs --no-color job
docker compose logs --no-color --no-log-prefix --tail 1 job
docker compose logs --no-color -t job | sed 's/[0-9-]*T[0-9:.]*Z/MOMENT/'
docker compose logs --no-color -f job
docker compose logs --no-color --no-log-prefix job store | sort
docker compose logs nosuch
docker compose top store | awk '$NF != "true" { print $NF }'
docker compose top nosuch
docker compose stats --no-stream --format '{{.Name}}' store
docker compose cp motd.txt web:/tmp/copied; docker compose exec -T web cat /tmp/copied
docker compose cp web:/etc/motd out.txt; cat out.txt
docker compose cp web:/data - | tar t
docker compose cp --all motd.txt app:/a; docker compose exec -T app cat /a
docker compose cp nosuch:/x y
docker compose cp web:/nosuch y
docker compose events --json > events.txt 2>/dev/null & p=$!; for i in $(seq 100); do docker compose restart -t 0 store 2>/dev/null; [ $(grep -c '"restart"' events.txt) -lt 2 ] || break; done; kill $p; grep '"service":"store"' events.txt | grep -oE '"action":"[a-z]*"' | sort -u
# run; beside Docker compose 2.26 may lose what a command says at its very end, so that each stays a moment
docker compose run --rm -T --no-deps web sh -c 'echo ran; sleep 1'
docker compose run --rm -T --no-deps -e X=5 app sh -c 'exit $X'
docker compose run --rm -T --no-deps -u daemon -w /tmp app sh -c 'id -un; pwd; sleep 1'
docker compose run --rm -T --no-deps --entrypoint sh app -c 'cat /greeting; sleep 1'
docker compose run --rm -T --no-deps -v "$PWD/site:/seen:ro" app sh -c 'ls /seen; sleep 1'
docker compose run --rm -T --no-deps -l a=b --name one-off app sh -c 'hostname | wc -c; sleep 1'
docker compose run --rm -T --no-deps app sh -c 'wget -qO- http://app:8000/page; sleep 1'
docker compose run -d --no-deps --name behind app sleep 100 | wc -l; docker compose ps -a --format '{{.Name}}' app | sort; docker rm -f behind
docker compose run --rm -T --no-deps --service-ports web true
docker compose run --rm -T --no-deps -p 127.0.0.1:0:80 web true
docker compose run --rm -T --no-deps app nosuch
~ husk has no runc, whose name Docker's text has
docker compose run --rm -T tool
docker compose run --rm -T nosuch
docker compose run --rm -T --no-deps app sh -c 'wc -c; sleep 1' < motd.txt
docker compose run --rm -T --no-deps --quiet-pull --build app sh -c 'cat /greeting; sleep 1' | tail -1
# changes
said docker compose restart -t 1 app
said docker compose stop -t 1 store
docker compose ps -a --format '{{.State}} {{.ExitCode}}' store
said docker compose start store
said docker compose kill store
docker compose ps -a --format '{{.State}} {{.ExitCode}}' store
said docker compose rm -f store
said docker compose rm -f nosuch
said docker compose up -d --no-deps store
said docker compose kill -s NOPE store
said docker compose restart nosuch
said docker compose up -d --scale store=2 --no-recreate
docker compose ps --format '{{.Name}}' store | sort
said docker compose scale store=1
said docker compose up -d --force-recreate --no-deps store
SECOND=three docker compose up -d --no-deps web 2>&1 | grep -E 'Recreated|Running'; docker compose exec -T web sh -c 'echo $SECOND'
said docker compose up -d --no-deps web
said docker compose -f compose.yaml -f more.yaml up -d --no-deps store extra
said docker compose up -d --no-deps store
said docker compose up -d --no-deps --remove-orphans store
docker compose up -d --no-deps --build app 2>&1 | grep Container | sort
said docker compose up -d --no-deps --no-build --pull never -V store
said docker compose up --no-start tool
said docker compose --profile tools up --no-color tool
docker compose up --no-color --no-log-prefix --no-deps job 2>/dev/null
docker compose up --no-color --no-deps --exit-code-from job job 2>/dev/null
docker compose up --no-color --no-deps --abort-on-container-exit --attach job job 2>/dev/null | sed 's/ *| */ | /'
docker compose wait job
docker compose wait nosuch
docker compose -p other ps
docker compose -p other up -d --no-deps job 2>/dev/null; docker compose ls -a -q | sort; said docker compose -p other down
docker compose -p 'Bad Name' up -d
# images of a registry
docker tag box $REGISTRY/box:1; docker push -q $REGISTRY/box:1 | wc -l; docker rmi $REGISTRY/box:1 | grep -c Untagged
printf 'services: {p: {image: "%s/box:1", network_mode: none, command: echo pulled}}' $REGISTRY > pulled.yaml; docker compose -f pulled.yaml -p pulled up --no-color --quiet-pull 2>/dev/null
docker compose -f pulled.yaml -p pulled pull -q
docker compose -f pulled.yaml -p pulled pull -q nosuch
docker compose -f pulled.yaml -p pulled up -d --pull always --quiet-pull 2>/dev/null; docker compose -f pulled.yaml -p pulled ps -a --format '{{.Image}}' | sed 's/:[0-9]*\//:PORT\//'
docker compose -f pulled.yaml -p pulled down --rmi all 2>&1 | grep -cE 'Removed|Image'
printf 'services: {p: {image: "%s/app", build: app}}' $REGISTRY > pushed.yaml; docker compose -f pushed.yaml -p pushed build -q; docker compose -f pushed.yaml -p pushed push -q; docker rmi -f $REGISTRY/app >/dev/null; docker pull -q $REGISTRY/app | sed 's/:[0-9]*\//:PORT\//'
printf 'services: {p: {image: "127.0.0.1:1/none"}}' | docker compose -f - -p none pull -q
~ what a registry that cannot be reached is told as is each engine's own
# settings of a service
for s in $(docker compose -f flags.yaml config --services | grep -vE 'runtime-unknown|interactive' | sort); do docker compose -f flags.yaml run -T --name flag $s >/dev/null 2>&1; echo "$s: $?"; docker logs flag 2>&1; docker rm -v flag >/dev/null; done
echo through | docker compose -f flags.yaml run --rm -T interactive
docker compose -f flags.yaml run --rm -T runtime-unknown
docker compose -f flags.yaml create labels annotations 2>/dev/null; docker inspect -f '{{.Config.Labels.a}} {{.Config.Labels.c}}' flags-labels-1; docker inspect -f '{{.HostConfig.Annotations.a}}' flags-annotations-1
said docker compose -f flags.yaml down -v
# services that do not come up
said docker compose -f failing.yaml up -d after-bad-job
said docker compose -f failing.yaml up -d after-sick
said docker compose -f failing.yaml up -d --wait sick
said docker compose -f failing.yaml up -d --wait bad-job
said docker compose -f failing.yaml up -d no-image
docker compose -f failing.yaml up -d no-program
~ husk has no runc, whose name Docker's text has
printf 'services: {a: {image: box, networks: [outside]}}\nnetworks: {outside: {external: true}}' | docker compose -f - -p outside up -d
printf 'services: {a: {image: box, volumes: ["kept:/k"]}}\nvolumes: {kept: {external: true}}' | docker compose -f - -p outside up -d
docker compose -f failing.yaml up -d joins
docker compose -f failing.yaml down -t 0 2>&1 | grep -c Removed
# of several services
docker compose -f shared.yaml up -d first filled 2>/dev/null; docker compose -f shared.yaml up --no-color --no-log-prefix joined mounts linked 2>/dev/null | grep -vE '^Attaching|exited' | sort | uniq -c
docker compose -f shared.yaml ps --format '{{.Service}} {{.State}}' first joined
docker compose -f shared.yaml up -d many again named 2>/dev/null; docker compose -f shared.yaml ps --format '{{.Name}}' many named | sort
docker wait shared-again-1 >/dev/null; for i in $(seq 100); do [ "$(docker inspect -f '{{.RestartCount}} {{.State.Status}}' shared-again-1)" = '1 exited' ] && break; sleep 0.1; done; docker compose -f shared.yaml logs --no-color --no-log-prefix again
docker compose -f shared.yaml up -d --scale named=2 named
docker compose -f shared.yaml stop -t 0 2>&1 | grep -c Stopped
docker compose -f shared.yaml rm -f -v 2>&1 | grep -c Removed
docker compose -f shared.yaml down -v 2>&1 | grep -cE 'Network shared_default +Removed'
# files that are watched: compose tells of a change when nothing has changed for half a second
docker compose -f watched.yaml up -d >/dev/null 2>&1; docker compose -f watched.yaml watch --no-up > watch.txt 2>&1 & p=$!; for i in $(seq 60); do echo changed $i > watched/www/page; sleep 1; [ "$(docker compose -f watched.yaml exec -T site cut -d' ' -f1 /www/page)" != changed ] || break; done; kill $p; docker compose -f watched.yaml exec -T site cut -d' ' -f1 /www/page
docker compose -f watched.yaml down --rmi local 2>&1 | grep -cE 'Removed'
# down
docker compose down --help | grep -c -- --volumes
said docker compose -f compose.yaml -f more.yaml up -d extra
docker compose --profile tools down --remove-orphans 2>&1 | sed 's/ *[0-9.]*s *$//' | grep Removed | sort
docker volume ls -q
said docker compose down -v --rmi local
docker ps -aq; docker volume ls -q; docker network ls -q --filter type=custom
said docker compose down -v
