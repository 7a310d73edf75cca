/**
 * What nearly every start needs, loaded while the supervisor waits to be told which container: the launcher starts it
 * beside the command, and it is idle until the command has written the record. Nothing here has an effect outside this
 * process.
 */
export async function warmUp(): Promise<void> {
  process.getBuiltinModule('node:sqlite');
  process.getBuiltinModule('node:crypto');
  const [{ idMaps }] = await Promise.all([
    import('../rootless/idmap.ts'),
    import('../rootless/sandbox.ts'),
    import('../images/layers/unpack.ts'),
  ]);
  idMaps();
}
