/** OCI's descriptor, as Docker's inspections have it. This module has data only. */
import {
  field,
  int,
  named,
  omitEmpty,
  pointer,
  slice,
  string,
  STRING_MAP,
  STRINGS,
  struct,
} from '../template/go-types.ts';

const DIGEST = named('string', 'digest.Digest');
const PLATFORM = struct('v1.Platform', {
  Architecture: field('architecture', string),
  OS: field('os', string),
  OSVersion: omitEmpty(string, 'os.version'),
  OSFeatures: omitEmpty(STRINGS, 'os.features'),
  Variant: omitEmpty(string, 'variant'),
});

export const DESCRIPTOR = struct('v1.Descriptor', {
  MediaType: field('mediaType', string),
  Digest: field('digest', DIGEST),
  Size: field('size', int),
  URLs: omitEmpty(STRINGS, 'urls'),
  Annotations: omitEmpty(STRING_MAP, 'annotations'),
  Data: omitEmpty(slice(int), 'data'),
  Platform: omitEmpty(pointer(PLATFORM), 'platform'),
  ArtifactType: omitEmpty(string, 'artifactType'),
});
