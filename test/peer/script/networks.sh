# networks: create, ls, inspect, rm
docker network create n1 | wc -c
+ `network create` prints the name
docker network create n1
+
? already exists
docker network create -d bridge --label a=b --label c -o com.docker.network.driver.mtu=1400 n2 | wc -c
docker network create --internal --attachable n3 | wc -c
docker network create 'bad name'
+
~ A network's name
docker network rm 'bad name' >/dev/null 2>&1
~ A network's name
docker network create ''
docker network create
docker network create a b
+
docker network create bridge
+
? operation is not permitted on predefined bridge network 
docker network create host
+
docker network create -d bogus n9
+
docker network create --subnet 10.9.0.0/24 --gateway 10.9.0.254 --ip-range 10.9.0.128/25 --aux-address other=10.9.0.130 n4 | wc -c
docker network create --subnet 10.9.0.0/25 n9
? Pool overlaps with other one on this address space
docker network create --subnet 10.10.0.5/24 n9
? invalid subnet 10\.10\.0\.5/24: it should be 10\.10\.0\.0/24
docker network create --subnet 10.10.0.0 n9
+
docker network create --subnet bogus n9
+
? invalid subnet bogus: invalid CIDR block notation
docker network create --subnet 10.10.0.0/24 --gateway 10.11.0.1 n9
+
? no matching subnet for gateway 10\.11\.0\.1
docker network create --subnet 10.10.0.0/24 --ip-range 10.11.0.0/25 n9
+
docker network create --gateway 10.10.0.1 n9
+
? every ip-range or gateway must have a corresponding subnet
docker network create --ip-range 10.10.0.0/25 n9
+
docker network create --subnet 10.10.0.0/24 --subnet 10.10.1.0/24 n9
? bridge driver doesn't support multiple subnets
docker network create --subnet 10.10.0.0/24 --gateway 10.10.0.1 --gateway 10.10.0.2 n9
+
docker network create --subnet 10.10.0.0/24 --aux-address bogus n9
docker network create --subnet 10.10.0.0/24 --aux-address x=10.11.0.1 n9
docker network create --bogus n9
+
docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.IPv6}} {{.Label "a"}}{{.Label "c"}}'
docker network ls | sed 's/^[0-9a-f]\{12\}/ID/'
docker network ls -q | awk '{ print length }' | sort -u
docker network ls -q --no-trunc | awk '{ print length }' | sort -u
docker network ls --filter name=n --format '{{.Name}}'
docker network ls --filter name=n1 --filter name=n2 --format '{{.Name}}'
+
docker network ls --filter driver=bridge --format '{{.Name}}'
docker network ls --filter driver=null --format '{{.Name}}'
docker network ls --filter label=a --format '{{.Name}}'
docker network ls --filter label=a=b --format '{{.Name}} {{.Label "a"}}'
docker network ls --filter label=a=x --format '{{.Name}}'
docker network ls --filter scope=local --format '{{.Name}}'
docker network ls --filter scope=swarm --format '{{.Name}}'
docker network ls --filter scope=bogus
docker network ls --filter type=builtin --format '{{.Name}}'
docker network ls --filter type=custom --format '{{.Name}}'
docker network ls --filter type=bogus
+
docker network ls --filter dangling=true --format '{{.Name}}'
docker network ls --filter dangling=false --format '{{.Name}}'
docker network ls --filter dangling=bogus
+
docker network ls --filter bogus=x
+
docker network ls --filter bogus
+
docker network ls --filter id=$(docker network ls -q --filter name=n1) --format '{{.Name}}'
docker network ls --format 'table {{.Name}}\t{{.Driver}}'
docker network ls --format json | wc -l
docker network ls --format '{{json .}}' --filter name=n3 | sed 's/"CreatedAt":"[^"]*"/CREATED/; s/"IPv4":"[a-z]*",//'
docker network ls --format '{{.Bogus}}'
+
docker network ls n1
+
docker network inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.Attachable}} {{.Ingress}} {{.ConfigOnly}} {{.EnableIPv6}}' n1 n3
docker network inspect -f '{{json .IPAM}}' n1
docker network inspect -f '{{json .IPAM}}' n4
docker network inspect -f '{{json .Options}} {{json .Labels}} {{json .Containers}} {{json .ConfigFrom}}' n1
docker network inspect -f '{{json .Options}} {{json .Labels}}' n2
docker network inspect -f '{{index .Options "com.docker.network.bridge.default_bridge"}} {{index .Options "com.docker.network.bridge.enable_icc"}}' bridge
docker network inspect -f '{{json .IPAM}}' bridge host none
docker network inspect n3 | sed 's/"Created": "[^"]*"/CREATED/; /"EnableIPv4"/d'
docker network inspect nosuch
+
? network nosuch not found
docker network inspect n1 nosuch n2 -f '{{.Name}}'
docker network inspect
+
docker network inspect -v n1 -f '{{.Name}}'
docker network inspect $(docker network ls -q --filter name=n1) -f '{{.Name}}'
+
docker inspect --type network n1 -f '{{.Name}}'
+
docker inspect n1 -f '{{.Name}}'
+
docker inspect --type network nosuch
+
docker network rm n2 nosuch n3
? ^Error: network nosuch not found
docker network rm nosuch
+
docker network rm -f nosuch
+
docker network rm bridge
+
? bridge is a pre-defined network and cannot be removed
docker network rm host none
docker network rm
+
docker network remove n4
docker network bogus
+
docker network prune -f --filter label=x
docker network prune -f --filter bogus=x
+
docker network prune -f | sort
+ texts of `prune`
docker network prune -f
docker network ls -q | wc -l
# containers on them
docker network create --subnet 10.18.0.0/16 n1 | wc -c; docker network create --subnet 10.19.0.0/16 n2 | wc -c; docker network create --subnet 10.9.0.0/24 n4 | wc -c; docker network create auto | wc -c
+ `network create` prints the name
docker run -d --name web --network n1 --network-alias www --network-alias site -h hosty box sleep 1000 >/dev/null; docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{$v.IPAddress}} {{$v.IPPrefixLen}} {{$v.Gateway}} {{$v.MacAddress}} {{$v.Links}} {{json $v.IPAMConfig}} {{$v.GlobalIPv6Address}} {{$v.GlobalIPv6PrefixLen}} {{$v.IPv6Gateway}} {{json $v.DriverOpts}}{{end}}' web
+ hardware addresses are made up
docker inspect -f '{{json .NetworkSettings.Networks.n1.Aliases}} {{range .NetworkSettings.Networks.n1.DNSNames}}{{.}} {{end}}' web
docker inspect -f '{{len .NetworkSettings.Networks.n1.NetworkID}} {{len .NetworkSettings.Networks.n1.EndpointID}} {{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}} {{.NetworkSettings.MacAddress}} {{json .NetworkSettings.Ports}} {{.HostConfig.NetworkMode}}' web
docker network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}} {{.IPv6Address}} {{.MacAddress}}{{end}}' n1
docker exec web cat /etc/hosts | sed 's/::0/::/'
docker exec web cat /etc/resolv.conf | grep -v '^#' | grep -v '^$' | head -1
docker exec web sh -c 'cat /etc/hostname; hostname; hostname -i'
# netavark, the newer of Podman's two back ends, gives its routes a metric
docker exec web ip -4 route | sed 's/ metric 100//; s/ *$//'
+
docker run --rm --network n1 box sh -c 'for n in web www site hosty web.n1 WEB nosuch; do echo $n; nslookup -type=a $n 2>&1 | grep -A1 "^Name" | grep Address; done'
docker run --rm --network n1 box ping -c1 -W5 www | grep -c ' 0% packet loss'
docker run --rm --network n2 box ping -c1 -W5 web
+
docker run --rm --network n1 --ip 10.18.0.77 box hostname -i
+
docker run --rm --network auto --ip $(docker network inspect -f '{{range .IPAM.Config}}{{.Gateway}}{{end}}' auto | sed 's/1$/77/') box true
~ `--ip` on a network whose subnet husk chose
docker run --rm --network n4 --ip 10.9.0.77 box hostname -i
docker run --rm --network n4 --ip 10.8.0.77 box hostname -i
+ an `--ip` outside of the subnets
? no configured subnet contains IP address 10\.8\.0\.77
docker run --rm --network n4 --ip bogus box hostname -i
+
docker run --rm --ip 172.17.0.99 box hostname -i
? user-specified IP address is supported on user-defined networks only
docker run --rm --network n4 --ip 10.9.0.1 box hostname -i
docker run --rm --network n4 --mac-address 02:42:0a:09:00:63 box cat /sys/class/net/eth0/address
+
docker run --rm --network n4 --mac-address bogus box true
+
? bogus is not a valid mac address
docker run --rm --network-alias x box true
? network-scoped aliases are only supported for user-defined networks
docker run --rm --network name=n4,ip=10.9.0.50,alias=q,mac-address=02:42:00:00:00:07 box sh -c 'hostname -i; cat /sys/class/net/eth0/address'
docker run --rm --network name=n4,bogus=1 box true
# Docker 26 attaches the networks of one command in the order of a Go map, so which of them is eth0 is by chance.
docker run --rm --network n1 --network n4 box sh -c 'ls /sys/class/net | tr "\n" " "; ip -4 -o addr | cut -d" " -f7 | sort'
docker run --rm --network n1 --network none box true
? cannot attach both user-defined and non-user-defined network-modes
docker run --rm --network n1 --network host box true
docker run --rm --network nosuch box true
+
docker run --rm --network n1 --network nosuch box true
docker run --rm --network container:web box hostname -i
+ `/etc/hosts` of a container that joins another's network
docker run --rm --network container:web box cat /etc/hosts | sed 's/::0/::/'
docker run --rm --network container:web -p 80 box true
? conflicting options: port publishing and the container type network mode
docker run --rm --network container:web --expose 80 box true
docker run --rm --network container:web --dns 1.1.1.1 box true
docker run --rm --network container:web --add-host a:1.2.3.4 box true
docker run --rm --network container:web -h other box true
docker run --rm --network container:web --link web box true
docker run --rm --network host -p 80 box true
? WARNING: Published ports are discarded when using host network mode
docker run --rm --network host --link web box true
docker run --rm --network none -p 80 box true
docker network rm n1
docker network rm -f n1
docker network prune -f | sort
docker network create --subnet 10.19.0.0/16 n2 | wc -c
# connect and disconnect
docker network connect n2 web
+
docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{$v.IPAddress}} {{end}}' web
+ the lowest free address is given
docker exec web sh -c 'ip -4 -o addr | cut -d" " -f2,7; ip route | grep default'
+ one default route
docker network connect n2 web
+
docker network connect nosuch web
+
docker network connect n2 nosuch
+
docker network connect --ip 10.19.0.55 --alias late n2 web
docker network disconnect n2 web
+
docker network disconnect n2 web
+
docker network disconnect nosuch web
+
docker network disconnect n2 nosuch
+
docker network disconnect -f n2 nosuch
docker network create --subnet 10.9.0.0/24 n4 | wc -c
docker network connect --ip 10.9.0.55 --alias late n4 web; docker inspect -f '{{.NetworkSettings.Networks.n4.IPAddress}} {{json .NetworkSettings.Networks.n4.Aliases}} {{json .NetworkSettings.Networks.n4.IPAMConfig}}' web
docker run --rm --network n4 box sh -c 'nslookup -type=a late | grep -A1 ^Name | grep Address'
docker network connect --link web:other n1 nosuch
docker network disconnect n1 web; docker exec web sh -c 'ip route | grep default | cut -d" " -f1-3'
docker network disconnect n4 web; docker exec web sh -c 'ip route'; docker inspect -f '{{json .NetworkSettings.Networks}}' web
docker network connect host web
? container cannot be disconnected from host network or connected to host network
docker create --name bare --network n1 box true >/dev/null; docker network connect none bare; docker network connect host bare; docker network disconnect n1 bare; docker network connect none bare; docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}' bare; docker rm bare
docker network connect bridge web; docker exec web sh -c 'ip -4 -o addr | cut -d" " -f7'
docker network disconnect bridge web
docker network connect n1 web; docker network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' n1
docker run -d --name alone --network none box sleep 1000 >/dev/null; docker network connect n1 alone
docker network disconnect none alone
docker run -d --name joined --network container:web box sleep 1000 >/dev/null; docker network connect n1 joined
docker run -d --name hosted --network host box sleep 1000 >/dev/null; docker network connect n1 hosted; docker network disconnect host hosted
docker create --name cold --network n1 box sleep 1000 >/dev/null; docker network connect n2 cold; docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} "{{$v.IPAddress}}" {{end}}' cold
docker network disconnect n1 cold; docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}' cold
docker start cold; docker exec cold hostname -i
docker ps --filter network=n1 --format '{{.Names}} {{.Networks}}' | sort
docker ps --filter network=nosuch --format '{{.Names}}'
docker rm -f alone joined hosted cold | sort
# links
docker run -d --name db --expose 5432 -e KIND=x box sleep 1000 >/dev/null; docker run --rm --link db:store --name user box sh -c 'env | grep STORE | sort; cat /etc/hosts | grep store; ping -c1 -W5 store | grep -c " 0%"'
docker run --rm --link db box sh -c 'env | grep DB_ | grep -v NAME | sort'
docker run --rm --link nosuch box true
? could not get container for nosuch: No such container: nosuch
docker run --rm --link db:a:b box true
docker run --rm --link db:store --name user box true; docker inspect -f '{{json .HostConfig.Links}}' db
docker run --rm --network n1 --link web:friend box sh -c 'nslookup -type=a friend | grep -A1 ^Name | grep Address; env | grep -c FRIEND'
docker run --rm --network n1 --link db:friend box sh -c 'nslookup -type=a friend | grep -A1 ^Name | grep Address'
docker create --name linked --link db:store box true >/dev/null; docker inspect -f '{{json .HostConfig.Links}}' linked; docker rm linked
docker rm -f db
# ports
docker run -d --name pub -p 127.0.0.1:18080:80 -p 18081:81/tcp -p 18082:82/udp -p 18090-18092:90-92 box nc -ll -p 80 -e cat >/dev/null; docker port pub
docker port pub 80
docker port pub 80/tcp
docker port pub 82
docker port pub 82/udp
docker port pub 99
docker port pub bogus
docker port pub 90/tcp 91/tcp
docker port nosuch
? No such container: nosuch
docker ps --filter name=pub --format '{{.Ports}}' | sed 's/:::/[::]:/g'
docker inspect -f '{{json .NetworkSettings.Ports}}' pub
docker inspect -f '{{json .HostConfig.PortBindings}}' pub
printf hello | curl -s --max-time 5 telnet://127.0.0.1:18080 | head -c 5
docker ps --filter publish=18081 --format '{{.Names}}'
~ `ps --filter publish`
docker ps --filter publish=80/tcp --format '{{.Names}}'
~ `ps --filter publish`
docker ps --filter publish=80 --format '{{.Names}}'
~ `ps --filter publish`
docker ps --filter expose=80 --format '{{.Names}}'
docker ps --filter expose=18000-19000 --format '{{.Names}}'
docker run --rm -p 18081:81 box true
? port is already allocated
docker run --name second -p 18081:82 box true; docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' second; docker rm second
docker run --rm -p 18081:81/udp box true
docker stop -t 0 pub; docker port pub; docker inspect -f '{{json .NetworkSettings.Ports}}' pub; docker ps -a --filter name=pub --format '{{.Ports}}'
docker start pub; docker port pub 81
docker rm -f pub
docker create --name forms -p 80 -p 1.2.3.4::81 -p 8080:80 -p '[::1]:83:84' --expose 90-92 --expose 95/udp box true >/dev/null; docker inspect -f '{{json .HostConfig.PortBindings}} {{json .Config.ExposedPorts}}' forms; docker rm forms
docker create -p bogus box true
? invalid containerPort: bogus
docker create -p 1:bogus box true
docker create -p bogus:1 box true
? invalid hostPort: bogus
docker create -p 70000 box true
docker create -p 80:70000 box true
docker create -p 0 box true
docker create -p 80/bogus box true
? invalid proto: bogus
docker create -p 80-90:80-81 box true
? invalid ranges specified for container and host Ports: 80-81 and 80-90
docker create -p 80-81:80-90 box true
docker create -p 90-80:90-80 box true
docker create -p 1.2.3.4:5:6:7 box true
? invalid IP address: 1\.2\.3\.4:5
docker create -p 1.2.3:5:6 box true
docker create -p host:5:6 box true
docker create -p : box true
? no port specified: :<empty>
docker create -p '' box true
docker create -p 80: box true
docker create -p :80 box true | wc -c
docker create -p '[::1:80:80' box true
docker create --expose bogus box true
? invalid range format for --expose: bogus
docker create --expose 80:80 box true
docker create --expose 90-80 box true
docker create -p 8000-8010:80 box true | wc -c
docker create -p type=x box true
docker create -p target=80,published=8080,protocol=tcp,mode=host box true | wc -c
docker create -p target=80,bogus=1 box true
~ an unknown key is refused
docker run -d --name all -P --expose 70 --expose 71/udp box sleep 1000 >/dev/null; docker port all | sed 's/[0-9]*$/PORT/'
docker inspect -f '{{.HostConfig.PublishAllPorts}} {{json .HostConfig.PortBindings}}' all
docker rm -f all
docker run -d --name exposed --expose 70 --expose 71/udp box sleep 1000 >/dev/null; docker ps --filter name=exposed --format '{{.Ports}}'; docker inspect -f '{{json .NetworkSettings.Ports}}' exposed; docker port exposed; docker rm -f exposed
# internal, icc, and the end
docker network create --internal --subnet 10.23.0.0/16 in | wc -c; docker run --rm --network in box sh -c 'ip -4 route; ping -c1 -W1 10.255.255.53 2>&1 | tail -1'
docker run -d --name inner --network in -p 18080:80 box sleep 1000 >/dev/null; docker port inner; docker rm -f inner
docker network create -o com.docker.network.bridge.enable_icc=false apart | wc -c; docker run -d --name quiet --network apart box sleep 1000 >/dev/null; docker run --rm --network apart box sh -c 'nslookup -type=a quiet | grep -A1 ^Name | grep -c Address; ping -c1 -W1 quiet | grep -c " 0%"'
docker run --rm --network n1 --dns 9.9.9.9 --dns-search example.org --dns-option timeout:3 box cat /etc/resolv.conf | grep -v '^#' | grep .
docker run --rm --dns 9.9.9.9 --dns-search example.org --dns-option timeout:3 box cat /etc/resolv.conf | grep -v '^#' | grep .
docker run --rm --dns-search . box sh -c 'grep -c ^search /etc/resolv.conf'
docker run --rm --network n1 --add-host a:1.2.3.4 --add-host b=::1 box sh -c 'grep -E "[[:space:]](a|b)$" /etc/hosts; nslookup -type=a a 2>&1 | grep -c 1.2.3.4'
docker rename web webby; docker run --rm --network n1 box sh -c 'for n in web webby; do nslookup -type=a $n 2>&1 | grep -A1 ^Name | grep -c Address; done'
docker restart -t 0 webby; docker inspect -f '{{.NetworkSettings.Networks.n1.IPAddress}}' webby
docker stop -t 0 webby; docker inspect -f '{{.NetworkSettings.Networks.n1.IPAddress}}|{{.NetworkSettings.Networks.n1.Gateway}}|{{.NetworkSettings.Networks.n1.MacAddress}}|{{.NetworkSettings.Networks.n1.EndpointID}}' webby
docker network rm n1; docker start webby
docker rm -f webby quiet
docker system prune -f | grep -v '^Total' | grep -v '^[0-9a-f]\{64\}$' | sort
docker network ls --format '{{.Name}}'
