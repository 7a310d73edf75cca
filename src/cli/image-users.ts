/** Which containers use an image: what keeps it from being removed. */
import type { Engine } from '../engine/contract.ts';

export async function imageUsers(engine: Engine): Promise<(imageId: string) => { id: string; running: boolean }[]> {
  const containers = await engine.list({ all: true });
  const users = Map.groupBy(
    containers.map((container) => ({ id: container.id, running: ['running', 'paused', 'restarting'].includes(container.state.status), imageId: container.config.imageId })),
    (user) => user.imageId,
  );
  return (imageId) => users.get(imageId) ?? [];
}
