/**
 * A container's image into the world: committed, pushed, read by skopeo, pulled again by the library of a user who has
 * nothing of it.
 */
import { execFileSync } from 'node:child_process';
import test from 'ava';
import { busyboxLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { ordinaryUser } from '../fixtures/user.ts';
import { libraryProject } from '../library/project.ts';
import { missingBuild } from '../peer/peers.ts';

const missing = missingImageTools() ?? missingBuild();
if (missing) test.skip(`needs ${missing}`, () => {});
else
  test('commit, push, and whoever pulls it has the files, the command and the layers', async (t) => {
    await using registry = await startRegistry();
    const base = await registry.push(`oci:${busyboxLayout()}:latest`, 'box:latest');
    const mine = `${registry.host}/mine:1`;
    {
      using user = ordinaryUser();
      const husk = (...args: string[]) => {
        const { status, stdout, stderr } = user.husk(...args);
        t.is(status, 0, `${args.join(' ')}: ${stderr}`);
        return stdout.trim();
      };
      husk(
        'run',
        '--name',
        'work',
        '--network=none',
        base,
        'sh',
        '-c',
        'echo mine >/file; mkdir /folder; rm /bin/vi; chown 7:8 /file',
      );
      husk(
        'commit',
        '-m',
        'made by hand',
        '-a',
        'Ada',
        '-c',
        'CMD ["cat", "/file"]',
        '-c',
        'ENV WHO=ada',
        '-c',
        'LABEL kind=test',
        '-c',
        'EXPOSE 80',
        '-c',
        'USER 7:8',
        'work',
        mine,
      );
      husk('push', mine);
      husk('rm', 'work');
    }
    const inspected = JSON.parse(
      execFileSync('skopeo', ['inspect', '--config', '--tls-verify=false', `docker://${mine}`], { encoding: 'utf8' }),
    ) as {
      config: Record<string, unknown>;
      rootfs: { diff_ids: string[] };
      author?: string;
      history: { comment?: string }[];
    };
    t.like(inspected.config, {
      Cmd: ['cat', '/file'],
      User: '7:8',
      Labels: { kind: 'test' },
      ExposedPorts: { '80/tcp': {} },
    });
    t.true((inspected.config['Env'] as string[]).includes('WHO=ada'));
    t.is(inspected.author, 'Ada');
    t.is(inspected.history.at(-1)!.comment, 'made by hand');
    using project = libraryProject();
    const { status, stdout, stderr } = project.run(
      'pull.mjs',
      `import { Husk } from 'husk';
       using husk = await Husk.open();
       const layers = new Set();
       const image = await husk.pull('${mine}', { onProgress: ({ id }) => layers.add(id) });
       console.log(image.config.rootfs.diff_ids.length, layers.size > 0);
       const none = { network: 'none' };
       console.log((await husk.run('${mine}', [], none)).stdout);
       console.log((await husk.run('${mine}', ['sh', '-c', 'id -u; stat -c %u:%g /file; ls -d /folder; ls /bin/vi 2>&1; echo $WHO'], none)).stdout);`,
    );
    t.is(stderr, '');
    t.is(status, 0);
    t.is(
      stdout,
      `${inspected.rootfs.diff_ids.length} true\nmine\n\n7\n7:8\n/folder\nls: /bin/vi: No such file or directory\nada\n\n`,
    );
  });
