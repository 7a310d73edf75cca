/** Which containers use an image: what keeps it from being removed. */
import type { Engine } from '../engine/contract.ts';

export function imageUsers(engine: Engine): (imageId: string) => { id: string; running: boolean }[] {
  const users = Map.groupBy(
    engine.list({ all: true }).map((container) => ({ id: container.id, running: ['running', 'paused', 'restarting'].includes(container.state.status), imageId: container.config.imageId })),
    (user) => user.imageId,
  );
  return (imageId) => users.get(imageId) ?? [];
}
