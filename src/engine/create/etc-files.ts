/**
 * A container's hosts, hostname and resolv.conf: written into its folder at every start, and bound over those of the
 * image. Who joins another container's network has the files and the names of that one, as with Docker. What is in them
 * is src/container/etc-files.ts'.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { hostnameFile, hostsFile, resolveExtraHost, resolvConfFile } from '../../container/etc-files.ts';
import { HuskError } from '../../errors.ts';
import { makeFolder, writeFileOfMode } from '../../host/files/make-folder.ts';
import { readOptional } from '../../host/files/read-optional.ts';
import { hostAddress } from '../../network/host-interface.ts';
import { isPredefined } from '../../network/records/name.ts';
import { NetworkRecords } from '../../network/records/records.ts';
import { ownResolvConf } from '../../network/resolv-conf.ts';
import { DNS_FORWARDER, hostResolvConf } from '../../network/way-out.ts';
import { joinedContainer, networkName, parseUtsMode, readNetworkMode } from '../../notation/modes.ts';
import type { Container } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { resolve } from '../record/reconcile.ts';
import type { CreateRequest } from '../request/request.ts';
import { resolverSettings } from './resolver-settings.ts';
import type { SpecFacts } from './spec/build.ts';
import type { EtcFiles } from './spec/mounts.ts';

/** mode of hosts, hostname and resolv.conf: every user of the container reads them */
const ETC_MODE = 0o644;
/** how many containers may join one another's network in a row; more is a circle */
const MAX_JOINS = 64;

/** containers/<id>/etc */
export function etcFolder(context: EngineContext, container: Container): string {
  return join(context.paths.container(container.id), 'etc');
}

export function writeEtcFiles(context: EngineContext, container: Container, request: CreateRequest): EtcFiles {
  const folder = etcFolder(context, container);
  const files = {
    hosts: join(folder, 'hosts'),
    hostname: join(folder, 'hostname'),
    resolvConf: join(folder, 'resolv.conf'),
  };
  const shared = networkOwner(context, container);
  if (shared !== undefined) {
    // the files of the one joined: Docker shares them as well
    const other = etcFolder(context, shared);
    return { hosts: join(other, 'hosts'), hostname: join(other, 'hostname'), resolvConf: join(other, 'resolv.conf') };
  }
  const hostNetwork = request.network.kind === 'host';
  const name = ownHostname(container);
  // as it is at this start: hosts change their networks
  const hostGateway = () => context.config['host-gateway-ip'] ?? hostAddress();
  makeFolder(folder, 0o755);
  writeFileOfMode(
    files.hosts,
    hostsFile({
      hostname: name,
      domainname: request.domainname,
      extraHosts: request.extraHosts.map((extra) => resolveExtraHost(extra, hostGateway)),
      hostHosts: hostNetwork ? (readOptional('/etc/hosts') ?? '') : undefined,
    }),
    ETC_MODE,
  );
  writeFileOfMode(files.hostname, hostnameFile(name), ETC_MODE);
  const settings = resolverSettings(request, context.config);
  const resolver = hasNameServer(context, container, request)
    ? ownResolvConf(hostResolvConf(), settings).text
    : resolvConfFile(hostResolvConf(), {
        ...settings,
        hostNetwork,
        fallback: networkName(request.network) === 'bridge' ? [DNS_FORWARDER] : [],
      });
  writeFileOfMode(files.resolvConf, resolver, ETC_MODE);
  return files;
}

/**
 * On networks of one's own names are known; on the default one they are not, as with Docker, but where `--egress` has
 * rules only a server of the container's own knows what may be asked.
 */
function hasNameServer(context: EngineContext, { id }: Container, { egress }: CreateRequest): boolean {
  const networks = new NetworkRecords(context.database).wantedBy(id).map(({ network }) => network);
  return networks.some((name) => !isPredefined(name)) || (egress.length > 0 && networks.includes('bridge'));
}

/**
 * The container whose network this one has by `--network container:X`, through any that have joined it in turn;
 * undefined: its own.
 * @throws HuskError with Docker's text when one of them is not there
 */
function networkOwner(context: EngineContext, container: Pick<Container, 'config'>): Container | undefined {
  let owner: Container | undefined;
  let name = joinedContainer(container.config.options.network);
  for (let joins = 0; name !== undefined; joins++) {
    if (joins === MAX_JOINS)
      throw new HuskError(`cannot join the network of ${name}: containers join one another in a circle`, {
        kind: 'invalid',
        exitCode: 125,
      });
    owner = resolve(context, name);
    name = joinedContainer(owner.config.options.network);
  }
  return owner;
}

/** Docker gives who joins a network the names of the container that has it. */
export function joinedNames(context: EngineContext, container: Container): SpecFacts['joinedNames'] {
  const owner = networkOwner(context, container);
  return owner && { hostname: ownHostname(owner), domainname: owner.config.options.domainname };
}

function ownHostname({ config: { hostname: own, options } }: Container): string {
  const isHosts = readNetworkMode(options.network).kind === 'host' || parseUtsMode(options.uts).kind === 'host';
  return options.hostname ?? (isHosts ? hostname() : own);
}
