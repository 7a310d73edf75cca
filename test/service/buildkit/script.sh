# the builder
docker buildx version | wc -l
docker buildx ls --help | wc -l | grep -c .
docker buildx ls | awk 'NR == 2 { print $1, $2 }'
docker buildx inspect | grep -E '^(Name|Driver):'
docker buildx inspect default | grep -E '^(Name|Status|Platforms):' | sort -u | cut -d, -f1
docker buildx inspect nosuch
docker buildx use default
docker buildx use nosuch 2>&1 | sed "s|$DOCKER_CONFIG/||"
docker buildx rm nosuch
docker buildx bogus
# images
docker buildx build --progress plain -t app:1 app 2>&1 | sed -f steps.sed | sort -u
docker run --rm app:1
docker image inspect -f '{{.Config.Cmd}} {{.Config.User}} {{.Config.WorkingDir}} {{.Config.Labels}} {{.Config.Env}}' app:1
docker image inspect -f '{{len .RootFS.Layers}}' app:1
docker run --rm app:1 sh -c 'cat /greeting; ls -l /www | cut -c1-10; id -un'
docker build -q -t app:2 --build-arg GREETING=hello app | wc -c; docker run --rm app:2 cat /greeting
docker buildx build -q -t app:3 --build-arg GREETING=hello app | cmp - - && docker image inspect -f '{{.Id}}' app:2 app:3 | sort -u | wc -l
docker buildx build --progress plain -t app:4 --build-arg GREETING=hello app 2>&1 | grep -c CACHED
~ the step FROM of an image that is here is shown as cached
docker buildx build --progress plain --no-cache -t app:5 app 2>&1 | grep -cE '^#[0-9]+ CACHED'
docker buildx build --progress plain --no-cache-filter tested --target tested app 2>&1 | sed -f steps.sed | sort -u
docker buildx build -q --target base -t app:base app | wc -c; docker run --rm app:base ls /greeting /www
docker buildx build -q --target nosuch app
docker buildx build -q --load -t app:loaded -t app:twice app | wc -c; docker images --format '{{.Repository}}:{{.Tag}}' app | sort
docker buildx build -q --iidfile iid.txt --metadata-file meta.json app >/dev/null; wc -c < iid.txt; grep -o '"containerimage.config.digest"' meta.json; grep -c "$(cat iid.txt)" meta.json
docker buildx build -q --label a=b -t app:label app >/dev/null; docker image inspect -f '{{.Config.Labels.a}}' app:label
docker buildx build -q -t app:platform --platform linux/amd64 app | wc -c
docker buildx build -q --build-arg UNUSED=1 app 2>&1 | wc -c
printf 'FROM box\nRUN grep -w db /etc/hosts\n' | docker buildx build --progress plain --add-host db:10.1.2.3 - 2>&1 | sed -f steps.sed | grep -E '10.1|ERROR'
docker buildx build -q
docker buildx build -q nosuch-folder
docker buildx build -q -f nosuch.file app
docker buildx build -q -t 'BAD:TAG:' app
docker buildx build --bogus app
docker buildx build -q -f files.Dockerfile . | wc -c
cat files.Dockerfile | docker buildx build -q -f - . | wc -c
printf 'FROM box\nENV from=stdin\n' | docker buildx build -q -t in:1 - | wc -c; docker image inspect -f '{{.Config.Env}}' in:1
tar -c -C app . | docker buildx build -q -t in:2 - | wc -c; docker run --rm in:2
# files
docker buildx build -q -f files.Dockerfile -o out . ; find out | sort; stat -c '%a %n' out/d out/page; cat out/page
docker buildx build -q -f files.Dockerfile -o type=tar,dest=out.tar . ; tar tf out.tar | sort
docker buildx build -q -f files.Dockerfile -o - . | tar t | sort
docker buildx build -q -f files.Dockerfile -o type=docker,dest=docker.tar -t saved:1 .
~ husk has what buildx calls the containerd image store: archives and caches go through
docker buildx build -q -f files.Dockerfile -o type=oci,dest=oci.tar .
~ husk has what buildx calls the containerd image store: archives and caches go through
docker buildx build -q -f files.Dockerfile -o type=bogus .
docker buildx build -q -f files.Dockerfile -o type=image,name=exported:1 . | wc -c; docker image inspect -f '{{len .RootFS.Layers}}' exported:1
docker buildx build -q -f files.Dockerfile -o type=cacheonly . | wc -c
docker buildx build -q -t $REGISTRY/pushed:1 --push -f files.Dockerfile . | wc -c; docker rmi $REGISTRY/pushed:1 >/dev/null 2>&1; docker pull -q $REGISTRY/pushed:1 | wc -l
docker buildx build -q -t 127.0.0.1:1/pushed:1 --push -f files.Dockerfile . 2>/dev/null
# secrets, agents, mounts, folders by name
printf word > word.txt; docker buildx build --progress plain -f secret.Dockerfile --secret id=token,src=token.txt --secret id=word,src=word.txt . 2>&1 | sed -f steps.sed | grep -vE '^\[' | sort -u
WORD=of-env docker buildx build --progress plain --no-cache -f secret.Dockerfile --secret id=token,env=WORD --secret id=word,env=WORD . 2>&1 | sed -f steps.sed | grep -c of-envof-env
docker buildx build -q -f secret.Dockerfile --no-cache . 2>&1 | sed 's/ (give it with .*//'
docker buildx build -q -f secret.Dockerfile --secret id=token,src=nosuch.txt .
docker buildx build --progress plain -f mounts.Dockerfile . 2>&1 | sed -f steps.sed | grep -vE '^\[(internal|1/)' | sort -u
docker buildx build --progress plain --no-cache -f mounts.Dockerfile . 2>&1 | sed -f steps.sed | grep '^[0-9]*$'
eval $(ssh-agent) >/dev/null; docker buildx build --progress plain --no-cache --ssh default -f ssh.Dockerfile . 2>&1 | sed -f steps.sed | grep -x agent; kill $SSH_AGENT_PID
docker buildx build -q -f ssh.Dockerfile --no-cache .
docker buildx build --progress plain -f named.Dockerfile --build-context extra=named . 2>&1 | sed -f steps.sed | grep -x 'of a folder by name'
docker buildx build -q -f named.Dockerfile --build-context extra=docker-image://box . 2>&1 | sed -f errors.sed
docker buildx build -q -f named.Dockerfile --build-context extra=nosuch-folder .
docker buildx build -q -f named.Dockerfile .
~ what a registry that cannot be reached is told as is each engine's own
# failures
docker buildx build --progress plain -f failing.Dockerfile . 2>&1 | grep -A 20 '^failing.Dockerfile:4'
docker buildx build -q -f failing.Dockerfile . 2>/dev/null
docker buildx build -q -f failing.Dockerfile --target one . | wc -c
docker buildx build --progress plain -f wrong.Dockerfile . 2>&1 | grep -A 20 '^wrong.Dockerfile:2'
docker buildx build --progress plain -f missing.Dockerfile . 2>&1 | grep -A 20 '^missing.Dockerfile:2' | sed -f errors.sed
docker buildx build -q -f nosuch.Dockerfile .
~ what a registry that cannot be reached is told as is each engine's own
printf 'FROM box\nRUN --mount=type=bogus true\n' | docker buildx build -q -
printf '' | docker buildx build -q -
~ husk names the service that the client does not serve
printf 'FROM box AS a\nFROM a AS b\nCOPY --from=c x /\n' | docker buildx build -q -
~ what a registry that cannot be reached is told as is each engine's own
printf 'FROM box\nUSER nosuchuser\nRUN true\n' | docker buildx build -q -
printf 'FROM box\nARG A\nFROM ${A:?must be given}\n' | docker buildx build -q -
printf 'FROM box\nHEALTHCHECK --interval=1s CMD true\nONBUILD RUN true\nVOLUME /v\nEXPOSE 80\nSTOPSIGNAL INT\nSHELL ["/bin/sh", "-e", "-c"]\nENTRYPOINT ["e"]\n' | docker buildx build -q -t conf:1 - | wc -c; docker image inspect -f '{{json .Config}}' conf:1 | tr ',' '\n' | grep -vE 'Hostname|Image|Attach|Tty|Stdin|Domain|null' | sort
printf 'FROM conf:1\n' | docker buildx build -q - 2>&1 | wc -c
# caches
docker buildx build -q -f files.Dockerfile --cache-to type=inline -t $REGISTRY/cached:1 --push . | wc -c; docker buildx build -q -f files.Dockerfile --cache-from $REGISTRY/cached:1 . | wc -c
docker buildx build -q -f files.Dockerfile --cache-from type=registry,ref=127.0.0.1:1/none . 2>/dev/null | wc -c
docker buildx build -q -f files.Dockerfile --cache-to type=bogus .
~ husk has what buildx calls the containerd image store: archives and caches go through
# bake
docker buildx bake --print 2>/dev/null | tr -d ' \n'
docker buildx bake --progress plain 2>&1 | grep -oE 'naming to docker.io/library/baked:(app|plain)' | sort -u; docker run --rm baked:app cat /greeting; docker image inspect -f '{{.Config.Labels.baked}}' baked:app
GREETING=of-env docker buildx bake app 2>/dev/null; docker run --rm baked:app cat /greeting
docker buildx bake --set app.args.GREETING=set app 2>/dev/null; docker run --rm baked:app cat /greeting
docker buildx bake files 2>/dev/null; find baked-files | sort
docker buildx bake -f composed.yaml 2>/dev/null; docker run --rm baked:one cat /greeting
docker buildx bake -f bake.json j 2>/dev/null; docker image inspect -f '{{.Config.Cmd}}' baked:json
docker buildx bake --metadata-file baked.json app 2>/dev/null; grep -c containerimage.config.digest baked.json
docker buildx bake nosuch
docker buildx bake -f nosuch.hcl
printf 'target "x" {' > broken.hcl; docker buildx bake -f broken.hcl 2>&1 | grep -c broken.hcl
docker buildx bake -f failing.hcl bad 2>&1 | tail -1
# usage
docker buildx du | grep -cE '^(ID|Total:|Reclaimable:)'
docker buildx du --verbose | grep -cE '^Total:'
docker buildx du --filter type=exec.cachemount | grep -c '^ID\|^Total'
docker buildx prune -f --filter until=24h | grep -c '^Total'
docker buildx prune -af | grep -c '^Total'
docker buildx du | awk '/^Total/ { print $2 }'
docker buildx imagetools inspect $REGISTRY/pushed:1 | grep -c Name:
