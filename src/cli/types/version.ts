/**
 * The type that `docker version` gives templates: versionInfo of docker/cli 28.2, types.Version of moby. This module
 * has data only.
 */
import {
  bool,
  field,
  omitEmpty,
  pointer,
  slice,
  string,
  STRING_MAP,
  struct,
  type GoType,
} from '../template/go-types.ts';

export const CLIENT_FIELDS: Readonly<Record<string, GoType | ReturnType<typeof omitEmpty>>> = {
  Platform: omitEmpty(pointer(struct('system.platformInfo', { Name: omitEmpty(string) }))),
  Version: omitEmpty(string),
  APIVersion: omitEmpty(string, 'ApiVersion'),
  DefaultAPIVersion: omitEmpty(string),
  GitCommit: omitEmpty(string),
  GoVersion: omitEmpty(string),
  Os: omitEmpty(string),
  Arch: omitEmpty(string),
  BuildTime: omitEmpty(string),
  Context: string,
};

export const VERSION_INFO = struct('system.versionInfo', {
  Client: struct('system.clientVersion', CLIENT_FIELDS),
  Server: pointer(
    struct('types.Version', {
      Platform: struct('struct { Name string }', { Name: string }),
      Components: omitEmpty(
        slice(struct('types.ComponentVersion', { Name: string, Version: string, Details: omitEmpty(STRING_MAP) })),
      ),
      Version: string,
      APIVersion: field('ApiVersion', string),
      MinAPIVersion: omitEmpty(string),
      GitCommit: string,
      GoVersion: string,
      Os: string,
      Arch: string,
      KernelVersion: omitEmpty(string),
      Experimental: omitEmpty(bool),
      BuildTime: omitEmpty(string),
    }),
  ),
});
