/** `POST /auth`: whether a registry takes a user name and a password. Nothing of them is kept or logged. */
import type { Credentials } from '../../images/store/contract.ts';
import type { Handler } from '../http/contract.ts';
import { BodyFields } from '../http/body-fields.ts';

export const auth: Handler = async ({ body, signal }, engine) => {
  const fields = new BodyFields((await body.json()) ?? {});
  await engine.images.checkCredentials(fields.text('serveraddress'), credentials(fields), { signal });
  // A token of the registry would stand in IdentityToken, in place of the password that the client would keep.
  return { kind: 'json', status: 200, value: { IdentityToken: '', Status: 'Login Succeeded' } };
};

function credentials(fields: BodyFields): Credentials {
  const [identity, token] = [fields.text('identitytoken'), fields.text('registrytoken')];
  if (identity !== '') return { kind: 'identity', token: identity };
  if (token !== '') return { kind: 'registry-token', token };
  const [, username = fields.text('username'), password = fields.text('password')] =
    /^([^:]+):(.*)$/s.exec(Buffer.from(fields.text('auth'), 'base64').toString()) ?? [];
  return { kind: 'password', username, password };
}
