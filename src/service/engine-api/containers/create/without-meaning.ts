/**
 * Fields of a create body that husk does not read, with the reason: a field is here, is refused (refused.ts), or is
 * read. test/service/engine-api/containers/create walks over the schema and holds every field to one of the three. Data
 * only.
 */

const OF_THE_ENGINE = 'told by the engine in inspect; clients send back what they were told, and Docker skips it too';
const WINDOWS = 'a setting of Windows, which Docker skips on Linux too';

/** By path; `*` is the name of a network. */
export const WITHOUT_MEANING: Readonly<Record<string, string>> = {
  ArgsEscaped: WINDOWS,
  OnBuild: 'of images: nothing is built from a container’s config',
  'HostConfig.ContainerIDFile': 'the client writes it; Docker only keeps the name',
  'HostConfig.CpuCount': WINDOWS,
  'HostConfig.CpuPercent': WINDOWS,
  'HostConfig.IOMaximumIOps': WINDOWS,
  'HostConfig.IOMaximumBandwidth': WINDOWS,
  'NetworkingConfig.EndpointsConfig.*.NetworkID': OF_THE_ENGINE,
  'NetworkingConfig.EndpointsConfig.*.EndpointID': OF_THE_ENGINE,
  'NetworkingConfig.EndpointsConfig.*.Gateway': OF_THE_ENGINE,
  'NetworkingConfig.EndpointsConfig.*.IPAddress': OF_THE_ENGINE,
  'NetworkingConfig.EndpointsConfig.*.IPPrefixLen': OF_THE_ENGINE,
  'NetworkingConfig.EndpointsConfig.*.IPv6Gateway': OF_THE_ENGINE,
  'NetworkingConfig.EndpointsConfig.*.GlobalIPv6Address': OF_THE_ENGINE,
  'NetworkingConfig.EndpointsConfig.*.GlobalIPv6PrefixLen': OF_THE_ENGINE,
  'NetworkingConfig.EndpointsConfig.*.DNSNames': OF_THE_ENGINE,
  'HostConfig.Mounts[0].Consistency': 'a hint for file sharing on macOS, without effect on Linux',
};
