/**
 * The shape of a machine: what a template must have been made with to become it. What stands behind the devices (disks,
 * links, folders) is not part of it.
 */
export interface VmSize {
  /** bytes of guest RAM */
  memory: number;
  cpus: number;
}

export interface MachineShape extends VmSize {
  /** how many disks of images it has besides its own */
  images: number;
  /** of each network device, bytes of payload in a frame: a guest's driver takes it when it starts */
  mtus: readonly number[];
  /** whether it has a device for shared folders */
  hasShares: boolean;
}
