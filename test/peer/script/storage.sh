# volumes
docker volume create v1
docker volume create v1
~ a volume that is there
docker volume create --label a=b --label c v2
docker volume create -d bogus v3
docker volume ls -q
docker volume ls -q --filter name=v1
docker volume ls -q --filter label=a=b
docker volume ls -q --filter label=a=x
docker volume ls --format '{{.Name}} {{.Driver}}'
docker volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{index .Labels "a"}}' v2
docker volume inspect nosuch
docker volume rm nosuch
docker volume create 'bad name'
docker run --rm -v v1:/data box sh -c 'echo kept > /data/file; ls /data'
docker run --rm -v v1:/elsewhere box cat /elsewhere/file
docker run --rm -v v1:/data:ro box sh -c 'cat /data/file; touch /data/x'
docker run --rm -v new:/data box sh -c 'ls -A /data; stat -c %a /data'; docker volume ls -q
docker run --rm -v bins:/bin box sh -c 'ls /bin | wc -l' 
docker run --rm -v bins:/seen box sh -c 'ls /seen | wc -l'
docker run --rm -v nocopy:/bin2 box ls -A /bin2
docker run --name anon -v /anon box sh -c 'echo a > /anon/x'; docker inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}{{end}}' anon; docker volume ls -q | wc -l
docker run --rm --volumes-from anon box cat /anon/x
docker run --rm --volumes-from anon:ro box touch /anon/y
docker run --rm --volumes-from nosuch box true
docker rm -v anon; docker volume ls -q | wc -l
docker run -d --name holder -v v1:/data box sleep 100 >/dev/null; docker volume rm v1
~ Podman's exit codes of wrong use
docker exec holder cat /data/file
docker run --rm -v v1:/data box sh -c 'echo more >> /data/file'; docker exec holder cat /data/file
docker inspect -f '{{range .Mounts}}{{.Name}} {{.Destination}}{{end}}' holder
docker ps --filter volume=v1 --format '{{.Names}}'
docker rm -f holder
docker run --rm -v v1:/data -v "$PWD:/backup" box tar cf /backup/backup.tar -C /data .; tar tf backup.tar
docker run --rm -v restored:/data -v "$PWD:/backup" box tar xf /backup/backup.tar -C /data; docker run --rm -v restored:/d box cat /d/file
docker run --rm --mount type=volume,src=v1,dst=/m,readonly box sh -c 'cat /m/file; touch /m/x'
~ options that Podman 4.3 has not, or not in Docker's form
docker run --rm --mount type=volume,dst=/m box sh -c 'ls -A /m; echo ok'
docker run --rm --mount type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=0700 box sh -c 'stat -c %a /m; df -k /m | tail -1 | awk "{print \$2}"'
docker run --rm --mount type=bogus,dst=/m box true
docker run --rm --mount dst=/m,bogus=1 box true
docker run --rm --mount type=bind,src=/no/such,dst=/m box true
docker run --rm --mount type=bind,src="$PWD",dst=/m,ro box sh -c 'cat /m/names.txt; touch /m/x'
docker run --rm -v "$PWD/tree:/m" box sh -c 'find /m | sort; echo in > /m/from-container'; cat tree/from-container
docker run --rm -v "$PWD/tree:/m:ro" box touch /m/y
docker run --rm -v "$PWD/names.txt:/etc/names" box cat /etc/names
docker run --rm -v "$PWD/made-by-run:/m" box touch /m/x; ls made-by-run
~ `-v` of a host folder that is not there
docker run --rm -v "$PWD/tree:/m" -v v1:/m/sub box sh -c 'ls /m; cat /m/sub/file'
docker run --rm -v "$PWD/tree:/m:bogus" box true
docker run --rm -v "$PWD/tree:relative" box true
docker run --rm -v v1:/a -v v2:/a box true
docker volume rm v2 restored
docker volume prune -f | grep -v '^Total' | wc -l
~ `volume prune` takes named volumes
docker volume prune -af | grep -c reclaimed
~ options that Podman 4.3 has not, or not in Docker's form
docker volume ls -q
docker volume bogus
# images
docker images --format '{{.Repository}} {{.Tag}}' | sort
docker images -q box | wc -l
docker image ls --filter reference='bo*' --format '{{.Repository}}'
docker image ls --filter dangling=true -q
docker tag box other:1
docker tag box other
docker tag nosuch x
docker tag box 'BAD:TAG:'
docker images --format '{{.Repository}}:{{.Tag}}' other | sort
~ `images NAME` lists the other names of its images
docker image inspect -f '{{.Os}} {{.Architecture}} {{.Config.Cmd}}' box
docker image inspect -f '{{len .RootFS.Layers}}' box
docker image inspect nosuch
docker history -q box | wc -l
docker history --format '{{.Size}}' box | wc -l
docker history nosuch
docker save box other:1 -o saved.tar; tar tf saved.tar | grep -c manifest.json
docker rmi other:1 other:latest
docker rmi nosuch
docker load -i saved.tar | sort
docker images --format '{{.Repository}}:{{.Tag}}' other
~ `images NAME` lists the other names of its images
docker load -i names.txt
docker create --name uses other:1 >/dev/null; docker rmi -f other:1 | grep -c Untagged; docker rm uses
tar c -C tree . | docker import --change 'CMD ["/x"]' --message msg - tiny:1 | wc -c
docker image inspect -f '{{.Config.Cmd}} {{.Comment}}' tiny:1
docker rmi tiny:1 | grep -c Untagged
docker image prune -f | grep -c reclaimed
~ texts of `prune`
docker pull 127.0.0.1:1/none:x
docker push nosuch
~ what `push` and `login` print
docker login -u x 127.0.0.1:1 </dev/null
~ what `push` and `login` print
docker logout 127.0.0.1:1
~ Podman's exit codes of wrong use
docker image bogus
# system
docker version --format '{{.Client.Version}}' | wc -l
docker info --format '{{.Containers}}'
~ placeholders of `--format`
docker system df --format '{{.Type}}' | grep -v '^VM Templates$' | sort
~ kinds of `system df`
docker system prune -f | grep -c reclaimed
docker --version | wc -l
docker bogus
docker help | wc -l | grep -c .
docker run --help | grep -c -- '--volumes-from'
