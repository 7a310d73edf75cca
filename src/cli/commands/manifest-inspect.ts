/** `husk manifest inspect` */
import type { ListedManifest } from '../../images/store/contract.ts';
import { DOCKER_MANIFEST, OCI_MANIFEST, platformFields } from '../../images/store/manifest.ts';
import type { Invocation } from '../grammar/command.ts';
import { abortOnInterrupt } from '../interrupt.ts';
import { printable } from '../output/printable.ts';
import { goRowJson } from '../template/json.ts';

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  const [list, reference] = names.length === 2 ? names : [undefined, names[0]!];
  const verbose = flags.bool('verbose');
  const { images } = await context.engine();
  using abort = abortOnInterrupt('interrupted');
  const { text, isList, manifests } = await (
    await images.manifestLists()
  ).inspect(reference!, { list, all: verbose, insecure: flags.bool('insecure'), signal: abort.signal });
  const shown = manifests.map(verboseForm);
  const json = verbose ? goRowJson(isList ? shown : shown[0]!, '\t') : text;
  context.stdout.write(`${printable(json, context.stdout, { lines: true })}\n`);
  return 0;
}

/** the field that has the manifest, by its kind */
const FIELDS = new Map<string, string>([
  [DOCKER_MANIFEST, 'SchemaV2Manifest'],
  [OCI_MANIFEST, 'OCIManifest'],
]);

/** Docker's ImageManifest, docker/cli cli/manifest/types */
function verboseForm({ reference, mediaType, digest, platform, bytes }: ListedManifest): Record<string, unknown> {
  const field = FIELDS.get(mediaType);
  return {
    Ref: reference,
    Descriptor: {
      mediaType,
      digest,
      size: bytes.length,
      ...(platform && { platform: platformFields(platform) }),
    },
    Raw: bytes.toString('base64'),
    ...(field !== undefined && { [field]: JSON.parse(bytes.toString('utf8')) as unknown }),
  };
}
