/** `husk builder inspect`, `husk buildx inspect` */
import { BUILDER, builder, checkBuilder } from '../builder.ts';
import type { Invocation } from '../grammar/command.ts';

export async function run({ arguments: [name = BUILDER], context }: Invocation): Promise<number> {
  checkBuilder(name);
  const { driver, status, version, platforms } = builder();
  context.stdout.write(
    `Name:   ${BUILDER}\nDriver: ${driver}\n\nNodes:\nName:             ${BUILDER}\nEndpoint:         ${BUILDER}\n` +
      `Status:           ${status}\nBuildKit version: ${version}\nPlatforms:        ${platforms}\n`,
  );
  return 0;
}
