/** What a registry has under a name: its manifest or list, and the platforms. Nothing is pulled. */
import type { Engine } from '../../engine/contract.ts';
import type { Answer, Call, Route } from '../http/contract.ts';
import { lenientRegistryAuth } from './transfer/registry-auth.ts';

async function inspect({ parameters, headers, signal }: Call, { images }: Engine): Promise<Answer> {
  const { descriptor, platforms } = await images.distribution(parameters['name']!, {
    credentials: lenientRegistryAuth(headers),
    signal,
  });
  return {
    kind: 'json',
    status: 200,
    value: {
      Descriptor: descriptor,
      Platforms: platforms.map(({ os, architecture, variant, osVersion, osFeatures }) => ({
        architecture,
        os,
        ...(osVersion !== undefined && { 'os.version': osVersion }),
        ...(osFeatures !== undefined && { 'os.features': osFeatures }),
        ...(variant !== undefined && { variant }),
      })),
    },
  };
}

export const distributionRoutes: readonly Route[] = [
  { method: 'GET', path: '/distribution/{name*}/json', handler: inspect },
];
