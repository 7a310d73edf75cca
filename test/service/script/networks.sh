# those that are always there
docker network ls
docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.IPv6}} {{.Labels}}'
docker network ls -q --no-trunc | awk '{ print length }' | sort -u
docker network inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{.EnableIPv6}} {{.Internal}} {{.Attachable}} {{.Ingress}} {{.ConfigOnly}} {{json .ConfigFrom}} {{json .Labels}} {{json .Containers}}' bridge host none
docker network inspect -f '{{.IPAM.Driver}} {{json .IPAM.Options}} {{len .IPAM.Config}}' bridge host none
docker network inspect -f '{{range $key, $value := .Options}}{{$key}}={{$value}} {{end}}' bridge
~ husk's bridge is in a namespace of its own: it has another name and size of packets
docker network rm bridge
docker network rm host none
docker network create bridge
docker network create host
docker network create none
docker network create default
docker network prune -f
# create
docker network create plain | wc -c
docker network create plain
docker network create -d bridge plain
docker network create
docker network create one two
docker network create ''
~ husk says what is wrong with the name
docker network create --subnet 10.61.0.0/24 --ip-range 10.61.0.128/25 --gateway 10.61.0.254 --aux-address other=10.61.0.130 --aux-address third=10.61.0.131 full | wc -c
docker network inspect -f '{{json .IPAM}}' full
docker network create --internal --attachable --label a=b --label c -o com.docker.network.driver.mtu=1400 -o com.docker.network.bridge.enable_icc=true flags | wc -c
docker network inspect -f '{{.Internal}} {{.Attachable}} {{.EnableIPv6}} {{json .Options}} {{json .Labels}} {{json .IPAM.Options}}' flags
docker network create --ipv6 --subnet fd00:61::/64 --gateway fd00:61::1 --subnet 10.62.0.0/24 six | wc -c
docker network inspect -f '{{.EnableIPv6}} {{json .IPAM.Config}}' six
~ husk tells the gateway that it chose in a subnet that was given, too
docker network create --subnet 10.61.0.0/25 clash
~ husk says which subnets overlap, and whose the other one is
docker network create --subnet 10.63.0.5/24 host-bits
~ an error of husk's is one line
docker network create --subnet bogus bad
~ an error of husk's is one line
docker network create --subnet 10.63.0.0/24 --gateway 10.64.0.1 bad
docker network create --subnet 10.63.0.0/24 --ip-range 10.64.0.0/25 bad
docker network create --gateway 10.63.0.1 bad
docker network create --subnet 10.63.0.0/24 --subnet 10.63.1.0/24 bad
~ husk's text says that it is the config that is wrong
docker network create --subnet 10.63.0.0/24 --aux-address x=10.64.0.1 bad
docker network create -d bogus bad
~ husk's text says what the driver was asked for
docker network create -d overlay bad
~ there is no Swarm, which husk's text says in its own words
docker network create -d null bad
docker network create -d host bad
docker network create --ipam-driver bogus bad
~ husk's text names the field
docker network create --scope swarm bad
~ there is no Swarm, which husk's text says in its own words
docker network create --ingress bad
~ there is no Swarm, which husk's text says in its own words
docker network create --bogus bad
# ls and inspect
docker network ls --format '{{.Name}} {{.Driver}} {{.Internal}} {{.IPv6}} {{.Label "a"}} {{.Label "c"}}'
docker network ls --filter name=l --format '{{.Name}}'
docker network ls --filter name=full --filter name=six --format '{{.Name}}'
docker network ls --filter driver=bridge --format '{{.Name}}'
docker network ls --filter driver=bridge --filter driver=host --format '{{.Name}}'
docker network ls --filter driver=null --filter name=none --format '{{.Name}}'
docker network ls --filter label=a --format '{{.Name}}'
docker network ls --filter label=a=b --filter label=c --format '{{.Name}}'
docker network ls --filter label=a=x --format '{{.Name}}'
docker network ls --filter scope=local --format '{{.Name}}'
docker network ls --filter scope=swarm --format '{{.Name}}'
docker network ls --filter scope=bogus
docker network ls --filter type=custom --format '{{.Name}}'
docker network ls --filter type=builtin --format '{{.Name}}'
docker network ls --filter type=bogus
docker network ls --filter dangling=true --format '{{.Name}}'
docker network ls --filter dangling=bogus
~ husk's text names the filter and its value
docker network ls --filter bogus=x
docker network ls --filter id=$(docker network ls -q --filter name=six) --format '{{.Name}}'
docker network ls --format json --filter name=flags | sed 's/"CreatedAt":"[^"]*"/CREATED/; s/"IPv4":"[a-z]*",//; s/"Labels":"[^"]*"/LABELS/'
docker network inspect full | grep -v -e '"Created"' -e '"EnableIPv4"'
docker network inspect -v -f '{{.Name}}' $(docker network ls -q --filter name=full)
docker network inspect $(docker network ls -q --no-trunc --filter name=full | cut -c1-20) -f '{{.Name}}'
docker network inspect nosuch
docker network inspect plain nosuch six -f '{{.Name}}'
docker network inspect --scope swarm plain
docker network inspect --scope local plain -f '{{.Name}}'
docker inspect --type network -f '{{.Name}}' plain
docker inspect -f '{{.Name}}' plain
docker inspect --type network nosuch
# sixteen and more: two of them begin alike
for i in $(seq 17); do docker network create -l many --subnet 10.70.$i.0/24 many$i >/dev/null || exit; done; digit=$(docker network ls -q --filter label=many | cut -c1 | sort | uniq -d | head -1); docker network inspect $digit 2>&1 | sed "s/network $digit is/network X is/; s/([0-9]* matches/(N matches/"; docker network rm $digit >/dev/null 2>&1; echo $?; docker network connect $digit nosuch >/dev/null 2>&1; echo $?
docker network ls --filter label=many -q | wc -l
docker network prune -f --filter label=many | sort
docker network prune -f --filter label!=a --filter label!=c --filter until=1h
docker network prune -f --filter bogus=x
docker network rm plain six | sort
docker network rm -f nosuch
docker network rm nosuch
docker network rm flags nosuch full | sort
docker network ls --filter type=custom -q
# containers on networks, by their names
docker network create --subnet 10.65.0.0/24 n1 | wc -c; docker network create --subnet 10.66.0.0/24 n2 | wc -c
docker run -d --name web -h web --network n1 --network-alias www --network-alias site --ip 10.65.0.10 box httpd -f -p 80 -h /etc | wc -c
docker inspect -f '{{json .NetworkSettings.Networks.n1.IPAMConfig}} {{json .NetworkSettings.Networks.n1.Aliases}} {{json .NetworkSettings.Networks.n1.Links}} {{json .NetworkSettings.Networks.n1.DriverOpts}} {{json .NetworkSettings.Networks.n1.DNSNames}}' web
docker inspect -f '{{with .NetworkSettings.Networks.n1}}{{.IPAddress}} {{.IPPrefixLen}} {{.Gateway}} {{.MacAddress}} {{.IPv6Gateway}} {{.GlobalIPv6Address}} {{.GlobalIPv6PrefixLen}}{{end}}' web
docker inspect -f '{{.HostConfig.NetworkMode}} "{{.NetworkSettings.IPAddress}}" "{{.NetworkSettings.Gateway}}" "{{.NetworkSettings.MacAddress}}" {{json .NetworkSettings.Ports}} {{.NetworkSettings.HairpinMode}}' web
docker inspect -f '{{len .NetworkSettings.SandboxID}} {{len .NetworkSettings.Networks.n1.NetworkID}} {{len .NetworkSettings.Networks.n1.EndpointID}}' web
~ there is no sandbox that has an id
[ "$(docker inspect -f "{{.NetworkSettings.Networks.n1.NetworkID}}" web)" = "$(docker network inspect -f "{{.Id}}" n1)" ] && echo same
docker network inspect -f '{{range .Containers}}{{.Name}} {{.MacAddress}} {{.IPv4Address}} "{{.IPv6Address}}" {{len .EndpointID}}{{end}}' n1
docker run --rm --network n1 box sh -c 'for name in web www site web.n1; do wget -qO- http://$name/hostname; done'
docker run --rm --network n1 box sh -c 'for name in web www site WEB nosuch; do echo $name; nslookup -type=a $name 2>&1 | grep -A1 ^Name | grep Address; done'
docker run --rm --network n2 box sh -c 'nslookup -type=a web 2>&1 | grep -c 10.65.0.10'
docker run --rm --network n1 box sh -c 'nslookup 10.65.0.10 | grep -o "name = .*"'
docker run --rm --network n1 box ping -c1 -W9 www | grep -c ' 0% packet loss'
docker run --rm --network n1 --ip 10.65.0.10 box true
docker run --rm --network n1 --ip 10.66.0.10 box true
~ one line, in the words of Docker 28
docker run --rm --network n1 --ip 10.65.0.1 box true
docker run --rm --network n1 --ip bogus box true
~ one line: what is no address is in no subnet
docker run --rm --ip 172.17.0.99 box true
~ one line, in the words of Docker 28
docker run --rm --network n1 --mac-address 02:42:0a:41:00:63 box cat /sys/class/net/eth0/address
docker run --rm --network n1 --mac-address bogus box true
docker run --rm --network-alias x box true
docker run --rm --network nosuch box true
docker run --rm --network n1 --network nosuch box true
docker run --rm --network name=n1,ip=10.65.0.50,alias=q,mac-address=02:42:00:00:00:07 box sh -c 'hostname -i; cat /sys/class/net/eth0/address'
docker run --rm --network name=n1,bogus=1 box true
docker run --rm --network n1 --network n2 box sh -c 'ls /sys/class/net | tr "\n" " "; ip -4 -o addr | grep -c -e 10.65.0 -e 10.66.0'
docker run --rm --network n1 --network none box true
docker run --rm --network n1 --network host box true
docker run --rm --network container:web box wget -qO- http://127.0.0.1/hostname
docker run --rm --network container:web box hostname
docker run --rm --network container:web -p 80 box true
docker run --rm --network container:web -h other box true
docker run --rm --network container:web --add-host a:1.2.3.4 box true
docker run --rm --network container:web --link web box true
docker run --rm --network container:nosuch box true
docker run --rm --network none box sh -c 'ls /sys/class/net; ip route'
docker run --rm --network host --link web box true
docker create --name modes --network host box true >/dev/null; docker inspect -f '{{.HostConfig.NetworkMode}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' modes; docker rm modes
docker create --name modes --network none box true >/dev/null; docker inspect -f '{{.HostConfig.NetworkMode}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' modes; docker rm modes
docker create --name modes --network container:web box true >/dev/null; docker inspect -f '{{json .NetworkSettings.Networks}}' modes; docker rm modes
# connect and disconnect
docker network connect --ip 10.66.0.20 --alias second --alias other n2 web
docker inspect -f '{{range $name, $network := .NetworkSettings.Networks}}{{$name}} {{$network.IPAddress}} {{json $network.IPAMConfig}} {{json $network.Aliases}}; {{end}}' web
docker run --rm --network n2 box wget -qO- http://second/hostname
docker exec web sh -c 'ip -4 -o addr | grep -c -e 10.65.0.10 -e 10.66.0.20'
docker network connect n2 web
docker network connect --ip 10.65.0.20 n2 web
~ one line, in the words of Docker 28
docker network connect nosuch web
docker network connect n2 nosuch
docker network connect --ip bogus n2 web
~ one line: what is no address is in no subnet
docker network connect host web
docker network connect none web
docker network connect bridge --ip 172.17.0.99 web
~ one line, in the words of Docker 28
docker network connect bridge --alias x web
~ one line, in the words of Docker 28
docker network rm n2
~ husk says which containers are on it, as Docker 28 does
docker network rm -f n2
~ husk says which containers are on it, as Docker 28 does
docker network prune -f
docker network disconnect n2 web
docker network disconnect n2 web
~ in the words of Docker 28
docker network disconnect -f n2 web
~ in the words of Docker 28
docker network disconnect nosuch web
docker network disconnect n2 nosuch
docker network disconnect -f n2 nosuch
~ husk says that it is the container that is not there
docker run --rm --network n2 box sh -c 'nslookup -type=a second 2>&1 | grep -c 10.66.0.20'
docker create --name cold --network n1 box sh -c 'hostname -i | tr " " "\n" | sort' >/dev/null; docker network connect --ip 10.66.0.30 n2 cold; docker inspect -f '{{range $name, $network := .NetworkSettings.Networks}}{{$name}} "{{$network.IPAddress}}" {{json $network.IPAMConfig}}; {{end}}' cold
docker network inspect -f '{{len .Containers}}' n2
docker network disconnect n1 cold; docker start -a cold
docker network connect n1 cold; docker network disconnect n2 cold; docker inspect -f '{{range $name, $network := .NetworkSettings.Networks}}{{$name}} "{{$network.IPAddress}}"{{end}}' cold; docker rm cold
docker create --name alone --network none box true >/dev/null; docker network connect n1 alone; docker network disconnect none alone; docker network connect n1 alone; docker rm alone
docker run -d --name joined --network container:web box sleep 1000 >/dev/null; docker network connect n1 joined; docker rm -f joined
docker run -d --name friend --network n1 --link web:peer box sleep 1000 >/dev/null; docker exec friend wget -qO- http://peer/hostname; docker inspect -f '{{json .NetworkSettings.Networks.n1.Links}} {{json .HostConfig.Links}}' friend; docker rm -f friend
docker network create linked >/dev/null; docker create --name later --network linked box true >/dev/null; docker network connect --link web:buddy n1 later; docker inspect -f '{{json .NetworkSettings.Networks.n1.Links}}' later; docker rm later; docker network rm linked
docker rename web webby; docker run --rm --network n1 box sh -c 'for name in web webby www; do nslookup -type=a $name 2>&1 | grep -c 10.65.0.10; done'; docker rename webby web
docker restart -t 0 web; docker inspect -f '{{.NetworkSettings.Networks.n1.IPAddress}}' web
docker stop -t 0 web; docker inspect -f '"{{.NetworkSettings.Networks.n1.IPAddress}}" "{{.NetworkSettings.Networks.n1.Gateway}}" "{{.NetworkSettings.Networks.n1.EndpointID}}"' web; docker network inspect -f '{{len .Containers}}' n1
docker network rm n1; docker start web
docker rm -f web; docker network rm n2
# on the default network
docker run -d --name db -h db --expose 5432 -e KIND=x box httpd -f -p 80 -h /etc >/dev/null; docker inspect -f '{{with .NetworkSettings}}{{eq .IPAddress .Networks.bridge.IPAddress}} {{eq .Gateway .Networks.bridge.Gateway}} {{eq .MacAddress .Networks.bridge.MacAddress}} {{json .Ports}} {{json .Networks.bridge.Aliases}} {{json .Networks.bridge.DNSNames}}{{end}}' db
docker run --rm --link db:store box sh -c 'wget -qO- http://store/hostname; env | grep -e STORE_PORT_5432_TCP_PORT -e STORE_ENV_KIND; grep -c store /etc/hosts'
docker run --rm --link db box sh -c 'wget -qO- http://db/hostname'
docker run --rm --link nosuch box true
docker run --rm box sh -c 'nslookup -type=a db 2>&1 | grep -c "^Name.*db"'
docker create --name linked --link db:store box true >/dev/null; docker inspect -f '{{json .HostConfig.Links}}' linked; docker ps -a --filter name=linked --format '{{.Names}}'; docker rm linked
docker rm -f db
# published ports
docker run -d --name pub -h pub -p 127.0.0.1:28080:80 -p 28081:81/tcp -p 28082:82/udp -p 28090-28092:90-92 box httpd -f -p 80 -h /etc | wc -c
docker port pub
docker port pub 80
docker port pub 82/udp
docker port pub 82
docker port pub 99
docker port pub bogus
docker port nosuch
docker ps --filter name=pub --format '{{.Ports}}'
docker inspect -f '{{json .NetworkSettings.Ports}}' pub
docker inspect -f '{{json .HostConfig.PortBindings}} {{json .Config.ExposedPorts}} {{.HostConfig.PublishAllPorts}}' pub
curl -s --max-time 60 http://127.0.0.1:28080/hostname
docker ps --filter publish=28081 --format '{{.Names}}'
~ the container's port, as Docker's documentation has it; its engine compares the host's
docker ps --filter publish=80/tcp --format '{{.Names}}'
~ the container's port, as Docker's documentation has it; its engine compares the host's
docker ps --filter publish=80-82/udp --format '{{.Names}}'
~ the container's port, as Docker's documentation has it; its engine compares the host's
docker ps --filter publish=bogus
~ husk's text names the filter and its value
docker ps --filter expose=80 --format '{{.Names}}'
docker ps --filter expose=90-95/tcp --format '{{.Names}}'
docker ps --filter expose=18000-19000 --format '{{.Names}}'
docker ps --filter network=bridge --format '{{.Names}} {{.Networks}}'
docker ps --filter network=$(docker network ls -q --no-trunc --filter name=bridge) --format '{{.Names}}'
docker ps --filter network=nosuch --format '{{.Names}}'
docker run --rm -p 28081:81 box true 2>&1 | grep -o 'Bind for .*'
docker run --name second -p 28081:82 box true 2>/dev/null; docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' second; docker rm second
docker run --rm -p 28081:81/udp box true
docker stop -t 0 pub; docker port pub; docker inspect -f '{{json .NetworkSettings.Ports}}' pub; docker ps -a --filter name=pub --format '{{.Ports}}'
docker start pub; docker port pub 81; docker rm -f pub
docker create --name forms -p 80 -p 1.2.3.4::81 -p 28080:80 -p '[::1]:83:84' -p 8000-8010:8000 --expose 90-92 --expose 95/udp box true >/dev/null; docker inspect -f '{{json .HostConfig.PortBindings}} {{json .Config.ExposedPorts}}' forms; docker rm forms
docker create -p bogus box true
docker create -p 70000 box true
docker create -p 80/bogus box true
docker create --name sctp -p 80:1/sctp box true >/dev/null && docker rm sctp
~ ports are published by a process of the user's, which takes TCP and UDP
docker create -p 1.2.3:5:6 box true
docker create -p 80-90:80-81 box true
docker create --expose 90-80 box true
docker run -d --name all -P --expose 70 --expose 71/udp --expose 72-73 box sleep 1000 >/dev/null; docker port all | sed 's/[0-9]*$/PORT/'; docker inspect -f '{{.HostConfig.PublishAllPorts}} {{json .HostConfig.PortBindings}}' all; docker rm -f all
docker run -d --name any -p 80 -p 127.0.0.1::81 box sleep 1000 >/dev/null; docker port any | sed 's/[0-9]*$/PORT/'; docker ps --filter name=any --format '{{.Ports}}' | sed 's/:[0-9]*->/:PORT->/g'; docker rm -f any
docker run -d --name exposed --expose 70 --expose 71/udp box sleep 1000 >/dev/null; docker ps --filter name=exposed --format '{{.Ports}}'; docker inspect -f '{{json .NetworkSettings.Ports}}' exposed; docker port exposed; docker rm -f exposed
docker run --rm --network host -p 80 box true
docker run --rm --network none -p 80 box true
# what events tell of them
docker network create --subnet 10.67.0.0/24 told >/dev/null; docker run --rm --name teller --network told box true; docker network rm told; docker events --since 1h --until -2s --filter network=told --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}'
docker network create --internal --subnet 10.68.0.0/24 in >/dev/null; docker run --rm --network in box sh -c 'ip -4 route; ping -c1 -W1 10.255.255.53 2>&1 | tail -1'; docker network rm in
docker network create -o com.docker.network.bridge.enable_icc=false --subnet 10.69.0.0/24 apart >/dev/null; docker run -d --name quiet --network apart box sleep 1000 >/dev/null; docker run --rm --network apart box ping -c1 -W1 quiet | grep -c ' 0%'; docker rm -f quiet; docker network rm apart
# forms of flags that are rarely met
docker network create --subnet 10.65.0.0/24 n1 | wc -c
docker run -d --name web -h web --network n1 --network-alias www box sleep 1000 >/dev/null; docker rename web webby; docker inspect -f '{{json .NetworkSettings.Networks.n1.DNSNames}} {{json .NetworkSettings.Networks.n1.Aliases}}' webby; docker network inspect -f '{{range .Containers}}{{.Name}}{{end}}' n1
docker run --rm --network n1 box sh -c 'nslookup $(nslookup -type=a www | grep -A1 ^Name | sed -n "s/Address: //p") | grep -o "name = .*"'
docker rm -f webby
docker run -d --name r1 -p 28100-28102:80 box sleep 1000 >/dev/null; docker port r1; docker run -d --name r2 -p 28100-28102:80 box sleep 1000 >/dev/null; docker port r2; docker rm -f r1 r2
docker run -d --name two -p 28105:80 -p 28106:80 -p 127.0.0.1:28107:80 box sleep 1000 >/dev/null; docker port two; docker port two 80; docker ps --filter name=two --format '{{.Ports}}'; docker rm -f two
docker run -d --name six -p '[::1]:28108:80' box sleep 1000 >/dev/null; docker port six; docker inspect -f '{{json .NetworkSettings.Ports}}' six; docker ps --filter name=six --format '{{.Ports}}'; docker rm -f six
docker network create -o com.docker.network.bridge.host_binding_ipv4=127.0.0.1 --subnet 10.67.0.0/24 loop | wc -c; docker run -d --name lo --network loop -p 28109:80 box sleep 1000 >/dev/null; docker port lo; docker rm -f lo; docker network rm loop
docker run -d --name udp -p 28110:7/udp box sh -c 'nc -u -l -p 7 -e cat' >/dev/null; docker port udp; docker rm -f udp
docker network create --ipv6 --subnet fd00:61::/64 --subnet 10.62.0.0/24 six | wc -c; docker run --rm --network six --ip6 fd00:61::99 box sh -c 'ip -6 -o addr show dev eth0 | grep -c fd00:61::99'; docker run -d --name s6 --network six --ip6 fd00:61::98 box sleep 1000 >/dev/null; docker inspect -f '{{with .NetworkSettings.Networks.six}}{{.GlobalIPv6Address}} {{.GlobalIPv6PrefixLen}} {{.IPv6Gateway}} {{json .IPAMConfig}}{{end}}' s6; docker network inspect -f '{{range .Containers}}{{.IPv6Address}}{{end}}' six; docker rm -f s6; docker network rm six
docker run --rm --network n1 --ip6 fd00::1 box true
~ one line, in the words of Docker 28
docker network connect --ip6 fd00::1 n1 nosuch
docker run --rm --add-host host.docker.internal:host-gateway box sh -c 'grep -c host.docker.internal /etc/hosts'
docker run --rm --network n1 --network bridge box true
docker run --rm --network bridge --network-alias x box true
docker run --rm --network n1 --network n1 box true
docker run --rm --network n1 --network container:x box true
docker run --rm --network '' box true
docker run --rm --network 'container:' box true
~ husk's text names the flag
docker run --rm --network name=nosuch,alias=x box true
docker run --rm --network host --network-alias x box true
docker run --rm --network none --ip 10.1.1.1 box true
~ one line, in the words of Docker 28
docker run --rm --network host --mac-address 02:42:00:00:00:01 box true
~ refused: nothing here would have that address
docker run --rm --network none --expose 80 box true
docker run --rm --network none --dns 1.1.1.1 box cat /etc/resolv.conf | grep -v '^#' | grep .
docker network create --config-only conf; docker network rm conf >/dev/null 2>&1
~ there is no Swarm, whose networks are made of it
docker network create --config-from nosuch fromconf
~ there is no Swarm, whose networks are made of it
docker network create -o bogus=1 opts | wc -c; docker network rm opts
~ Docker takes any option without a word
docker network create -o com.docker.network.bridge.name=mybr0 named | wc -c; docker network inspect -f '{{json .Options}}' named; docker network rm named
docker network create --ipam-opt a=b bad; docker network rm bad >/dev/null 2>&1
~ Docker takes any option without a word
docker network create --label a=b --label a=c twice | wc -c; docker network inspect -f '{{json .Labels}}' twice; docker network rm twice
docker create --name ex --expose 70-73 --expose 80/udp -p 81 box true >/dev/null; docker ps -a --filter name=ex --format '{{.Ports}}'; docker inspect -f '{{json .Config.ExposedPorts}}' ex; docker rm ex
docker create --name multi --network n1 --network bridge box true
docker create --name multi --network n1 box true >/dev/null; docker network connect bridge multi; docker ps -a --filter name=multi --format '{{.Networks}}'; docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{json $v.DNSNames}};{{end}}' multi; docker rm multi
docker run -d --name gone --network n1 box sleep 1000 >/dev/null; docker network disconnect n1 gone; docker inspect -f '{{json .NetworkSettings.Networks}} {{.HostConfig.NetworkMode}}' gone; docker exec gone ls /sys/class/net; docker restart -t 0 gone; docker exec gone ls /sys/class/net; docker network connect n1 gone; docker exec gone ls /sys/class/net; docker rm -f gone
docker run -d --name paused --network n1 box sleep 1000 >/dev/null; docker network disconnect -f n1 paused; docker network connect n1 paused; docker rm -f paused; docker network rm n1
docker network create --subnet 10.68.0.0/30 tiny | wc -c; docker run -d --name t1 --network tiny box sleep 1000 >/dev/null; docker run --rm --network tiny box true; docker rm -f t1; docker network rm tiny
~ husk's text ends with what to do
docker network create a.b-c_d | wc -c; docker network rm a.b-c_d
docker network create -a x
docker network create x y z
docker network connect n1
docker network disconnect
docker network inspect
docker network rm
docker network ls extra
docker network prune extra
docker network prune < /dev/null
docker network prune -f
docker network ls --format '{{.Name}}'
docker network bogus
