/** Which containers use an image: what keeps it from being removed. */
import type { Engine } from '../engine/contract.ts';

/** Looks at the containers once, at the first question. */
export function imageUsers(engine: Engine): (imageId: string) => { id: string; running: boolean }[] {
  let users: Map<string, { id: string; running: boolean }[]> | undefined;
  return (imageId) => {
    users ??= Map.groupBy(
      engine.list({ all: true }).map((container) => ({ id: container.id, running: ['running', 'paused', 'restarting'].includes(container.state.status), imageId: container.config.imageId })),
      (user) => user.imageId,
    );
    return users.get(imageId) ?? [];
  };
}
