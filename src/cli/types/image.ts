/**
 * The type that `docker image inspect` gives templates: image.InspectResponse of moby 28.2. This module has data only.
 */
import {
  any,
  bool,
  embedded,
  field,
  int,
  map,
  omitEmpty,
  pointer,
  slice,
  string,
  STRING_MAP,
  STRINGS,
  struct,
} from '../template/go-types.ts';
import { TIME } from './basics.ts';
import { CONFIG, DRIVER_DATA, EMPTY_STRUCT, HEALTHCHECK } from './container.ts';
import { DESCRIPTOR } from './descriptor.ts';

const IMAGE_CONFIG = struct('v1.ImageConfig', {
  User: omitEmpty(string),
  ExposedPorts: omitEmpty(map(EMPTY_STRUCT)),
  Env: omitEmpty(STRINGS),
  Entrypoint: omitEmpty(STRINGS),
  Cmd: omitEmpty(STRINGS),
  Volumes: omitEmpty(map(EMPTY_STRUCT)),
  WorkingDir: omitEmpty(string),
  Labels: omitEmpty(STRING_MAP),
  StopSignal: omitEmpty(string),
  ArgsEscaped: omitEmpty(bool),
});

export const IMAGE = struct('image.InspectResponse', {
  ID: field('Id', string),
  RepoTags: STRINGS,
  RepoDigests: STRINGS,
  Parent: string,
  Comment: string,
  Created: omitEmpty(string),
  Container: omitEmpty(string),
  ContainerConfig: omitEmpty(pointer(CONFIG)),
  DockerVersion: string,
  Author: string,
  Config: pointer(
    struct('v1.DockerOCIImageConfig', {
      ImageConfig: embedded(IMAGE_CONFIG),
      DockerOCIImageConfigExt: embedded(
        struct('v1.DockerOCIImageConfigExt', {
          Healthcheck: omitEmpty(pointer(HEALTHCHECK)),
          OnBuild: omitEmpty(STRINGS),
          Shell: omitEmpty(STRINGS),
        }),
      ),
    }),
  ),
  Architecture: string,
  Variant: omitEmpty(string),
  Os: string,
  OsVersion: omitEmpty(string),
  Size: int,
  VirtualSize: omitEmpty(int),
  GraphDriver: DRIVER_DATA,
  RootFS: struct('image.RootFS', { Type: omitEmpty(string), Layers: omitEmpty(STRINGS) }),
  Metadata: struct('image.Metadata', { LastTagTime: TIME }),
  Descriptor: omitEmpty(pointer(DESCRIPTOR)),
  Manifests: omitEmpty(slice(any)),
});
