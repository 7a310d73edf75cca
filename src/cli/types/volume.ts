/** The type that `docker volume inspect` gives templates: volume.Volume of moby 28.2. This module has data only. */
import { any, int, map, omitEmpty, pointer, string, STRING_MAP, struct } from '../template/go-types.ts';

export const VOLUME = struct('volume.Volume', {
  ClusterVolume: omitEmpty(pointer(struct('volume.ClusterVolume', { ID: string }))),
  CreatedAt: omitEmpty(string),
  Driver: string,
  Labels: STRING_MAP,
  Mountpoint: string,
  Name: string,
  Options: STRING_MAP,
  Scope: string,
  Status: omitEmpty(map(any)),
  UsageData: omitEmpty(pointer(struct('volume.UsageData', { RefCount: int, Size: int }))),
});
