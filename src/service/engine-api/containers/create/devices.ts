/** `HostConfig.Devices` and `.DeviceRequests` (`--gpus`), as the texts of --device. */
import { gpuDevices } from '../../../../engine/create/spec/cdi.ts';
import { HuskError } from '../../../../errors.ts';
import { isCdiDevice } from '../../../../notation/devices.ts';
import type { BodyFields } from '../../../http/body-fields.ts';
import { refusing } from './refusing.ts';

/** @throws HuskError `invalid` */
export function readDevices(host: BodyFields): string[] {
  return [...host.objects('Devices').map(deviceText), ...host.objects('DeviceRequests').flatMap(requested)];
}

/** The text has its parts between colons, so none of them may have one. */
function deviceText(device: BodyFields): string {
  const parts = ['PathOnHost', 'PathInContainer', 'CgroupPermissions'].map((name) => {
    const text = device.text(name);
    if (text.includes(':'))
      throw new HuskError(`${device.path(name)}: ${JSON.stringify(text)}: a device's path must not have a colon`, {
        kind: 'invalid',
        fix: 'name the device that the link leads to',
      });
    return text;
  });
  const [host, inContainer, access] = parts;
  return `${host}:${inContainer || host}:${access || 'rwm'}`;
}

/** Devices of the Container Device Interface by name, or GPUs, which are such. */
function requested(request: BodyFields): string[] {
  const driver = request.text('Driver');
  const ids = request.texts('DeviceIDs');
  const count = request.integer('Count');
  const capabilities = request.textLists('Capabilities');
  if (driver === 'cdi' && ids.length > 0 && ids.every(isCdiDevice)) return ids;
  if (!['', 'nvidia', 'cdi'].includes(driver) || !capabilities.flat().includes('gpu') || request.asks('Options'))
    throw new HuskError(
      `could not select device driver "${driver}" with capabilities: [${capabilities.map((set) => `[${set.join(' ')}]`).join(' ')}]`,
      { kind: 'invalid', fix: `leave ${request.path('Options')} out, and ask for capability gpu or for CDI devices` },
    );
  // Without number and names it is one, as Docker's client says it for `--gpus capabilities=gpu`.
  const number = count === 0 && ids.length === 0 ? 1 : count;
  const asked = [
    ...(number === 0 ? [] : [`count=${number}`]),
    ...ids.map((id) => `"device=${id.replaceAll('"', '""')}"`),
  ];
  return refusing(() => gpuDevices(asked.join(',')));
}
