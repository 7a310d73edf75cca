/**
 * Templates in use, through Docker's real client and through husk: both are given the same containers, images and
 * volumes, and must print the same, or refuse alike. A case a line; docs/differences.md names what is left out here on
 * purpose.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dockerClient, runDocker, type DockerClient } from '../../fixtures/docker-client.ts';
import { startFakeDockerEngine, type FakeDockerEngine } from '../../fixtures/fake-docker-engine.ts';
import { husk } from '../fake-context.ts';
import { makeSubject, type Subject } from './subject.ts';

const client = dockerClient();
const folder = mkdtempSync(join(tmpdir(), 'husk-docker-'));
const socket = join(folder, 'engine.sock');
let subject: Subject;
let fake: FakeDockerEngine;

const CONTAINER = [
  '{{.Id}}',
  '{{.ID}}',
  '{{.Name}}',
  '{{.Path}} {{.Args}}',
  '{{join .Args " "}}',
  '{{json .Args}}',
  '{{.State.Status}}',
  '{{.State.Pid}}',
  '{{.State.Running}} {{.State.ExitCode}}',
  '{{.Created}}',
  '{{.Image}}',
  '{{.Platform}} {{.Driver}}',
  '{{json .State}}',
  '{{.State}}',
  '{{json .State.Health}}',
  '{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}',
  '{{with .State.Health}}x{{end}}',
  '{{.State.Health}}',
  '{{.State.Health.Status}}',
  '{{if eq .State.Health nil}}nil{{end}}',
  '{{if .Config.Healthcheck}}{{print .State.Health.Status}}{{end}}',
  '{{.Config.Healthcheck}}',
  '{{json .Config.Healthcheck}}',
  '{{with .Config.Healthcheck}}{{.Interval}} {{.Timeout}} {{.Test}}{{end}}',
  '{{json .Config.Labels}}',
  '{{.Config.Labels}}',
  '{{.Config.Labels.a}}',
  '{{.Config.Labels.absent}}',
  '{{index .Config.Labels "absent"}}',
  '{{index .Config.Labels "com.example.role"}}',
  '{{len .Config.Labels}}',
  '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}',
  '{{range $k, $v := .Config.Labels}}{{println $k $v}}{{end}}',
  '{{with index .Config.Labels "a"}}has {{.}}{{else}}none{{end}}',
  '{{if index .Config.Labels "a"}}y{{else}}n{{end}}',
  '{{range .Config.Env}}{{println .}}{{end}}',
  '{{range .Config.Env}}{{.}}{{"\\n"}}{{end}}',
  '{{range $i, $e := .Config.Env}}{{if $i}},{{end}}{{$e}}{{end}}',
  '{{join .Config.Env "\\n"}}',
  '{{json .Config.Env}}',
  '{{index .Config.Env 0}}',
  '{{index .Config.Env 99}}',
  '{{slice .Config.Env 0 1}}',
  '{{range .Config.Env}}{{if eq (index (split . "=") 0) "A"}}{{.}}{{end}}{{end}}',
  '{{range .Config.Env}}{{$p := split . "="}}{{index $p 0}} {{end}}',
  '{{(index (split (index .Config.Env 0) "=") 0) | upper}}',
  '{{len .Config.Env}}',
  '{{.Config.Cmd}}',
  '{{json .Config.Cmd}}',
  '{{join .Config.Cmd " "}}',
  '{{.Config.Entrypoint}}',
  '{{json .Config.Entrypoint}}',
  '{{.Config.User}}',
  '{{.Config.WorkingDir}}',
  '{{.Config.Hostname}}',
  '{{.Config.Image}}',
  '{{.Config.Tty}} {{.Config.OpenStdin}} {{.Config.StdinOnce}}',
  '{{.Config.StopTimeout}}',
  '{{.Config.StopSignal}}',
  '{{.Config.Volumes}}',
  '{{json .Config.Volumes}}',
  '{{.Config.ExposedPorts}}',
  '{{json .Config.ExposedPorts}}',
  '{{range $p, $x := .Config.ExposedPorts}}{{$p}} {{end}}',
  '{{range $p, $x := .Config.ExposedPorts}}{{$p.Port}}/{{$p.Proto}} {{end}}',
  '{{json .Config}}',
  '{{.Config.MacAddress}}',
  '{{.Config.OnBuild}} {{.Config.Shell}}',
  '{{.Config.ArgsEscaped}} {{.Config.NetworkDisabled}}',
  '{{.HostConfig.NetworkMode}}',
  '{{.HostConfig.NetworkMode.IsHost}}',
  '{{.HostConfig.NetworkMode.IsNone}} {{.HostConfig.NetworkMode.IsPrivate}} {{.HostConfig.NetworkMode.IsContainer}} {{.HostConfig.NetworkMode.IsUserDefined}} {{.HostConfig.NetworkMode.NetworkName}}',
  '{{.HostConfig.IpcMode.IsPrivate}} {{.HostConfig.IpcMode.IsEmpty}} {{.HostConfig.PidMode.IsHost}} {{.HostConfig.UTSMode.IsHost}} {{.HostConfig.UsernsMode.IsPrivate}} {{.HostConfig.CgroupnsMode.IsPrivate}} {{.HostConfig.Isolation.IsDefault}}',
  '{{if .HostConfig.NetworkMode.IsHost}}host{{else}}own{{end}}',
  '{{.HostConfig.RestartPolicy}}',
  '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}',
  '{{.HostConfig.RestartPolicy.IsAlways}} {{.HostConfig.RestartPolicy.IsOnFailure}}',
  '{{if eq .HostConfig.RestartPolicy.Name "no"}}no{{else}}yes{{end}}',
  '{{json .HostConfig}}',
  '{{json .HostConfig.Binds}}',
  '{{.HostConfig.Binds}}',
  '{{range .HostConfig.Binds}}{{println .}}{{end}}',
  '{{len .HostConfig.Tmpfs}}',
  '{{.HostConfig.Tmpfs}}',
  '{{json .HostConfig.Tmpfs}}',
  '{{.HostConfig.PortBindings}}',
  '{{json .HostConfig.PortBindings}}',
  '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}',
  '{{.HostConfig.NanoCPUs}} {{.HostConfig.CPUShares}}',
  '{{.HostConfig.PidsLimit}}',
  '{{json .HostConfig.PidsLimit}}',
  '{{if .HostConfig.PidsLimit}}has{{else}}none{{end}}',
  '{{.HostConfig.OomKillDisable}}',
  '{{.HostConfig.MemorySwappiness}}',
  '{{.HostConfig.Init}}',
  '{{json .HostConfig.Init}}',
  '{{.HostConfig.Privileged}} {{.HostConfig.ReadonlyRootfs}}',
  '{{.HostConfig.CapAdd}} {{.HostConfig.CapDrop}}',
  '{{json .HostConfig.CapAdd}}',
  '{{.HostConfig.Ulimits}}',
  '{{range .HostConfig.Ulimits}}{{.Name}}={{.Soft}}:{{.Hard}} {{.}}{{end}}',
  '{{json .HostConfig.Ulimits}}',
  '{{.HostConfig.ConsoleSize}}',
  '{{.HostConfig.LogConfig}}',
  '{{.HostConfig.LogConfig.Type}}',
  '{{json .HostConfig.LogConfig}}',
  '{{.HostConfig.DNS}} {{.HostConfig.Dns}}',
  '{{.HostConfig.Dns}}',
  '{{.HostConfig.ExtraHosts}}',
  '{{.HostConfig.Sysctls}}',
  '{{.HostConfig.Annotations}}',
  '{{.HostConfig.StorageOpt}} {{.HostConfig.VolumesFrom}}',
  '{{.HostConfig.Devices}} {{json .HostConfig.Devices}}',
  '{{.HostConfig.ShmSize}}',
  '{{.HostConfig.AutoRemove}}',
  '{{json .HostConfig.Mounts}}',
  '{{range .HostConfig.Mounts}}{{.Type}} {{.Target}} {{.ReadOnly}};{{end}}',
  '{{.HostConfig.MaskedPaths}}',
  '{{.HostConfig.Resources.Memory}}',
  '{{.HostConfig.KernelMemory}} {{.HostConfig.DeviceRequests}} {{.HostConfig.Links}}',
  '{{.HostConfig.Cgroup}} {{.HostConfig.CgroupParent}}',
  '{{.Mounts}}',
  '{{json .Mounts}}',
  '{{len .Mounts}}',
  '{{range .Mounts}}{{.Source}}->{{.Destination}} {{end}}',
  '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{.Driver}} {{.Mode}} {{.RW}} {{end}}{{end}}',
  '{{range $i, $m := .Mounts}}{{$i}}:{{$m.Destination}}{{"\\n"}}{{end}}',
  '{{range .Mounts}}{{printf "%-6s %s" .Type .Destination | println}}{{end}}',
  '{{(index .Mounts 0).Destination}}',
  '{{index .Mounts 99}}',
  '{{.NetworkSettings.IPAddress}}',
  '{{json .NetworkSettings}}',
  '{{.NetworkSettings.Ports}}',
  '{{json .NetworkSettings.Ports}}',
  '{{range $p, $conf := .NetworkSettings.Ports}}{{$p}} -> {{(index $conf 0).HostPort}}{{end}}',
  '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}',
  '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{.GwPriority}}{{end}}',
  '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}',
  '{{json .NetworkSettings.Networks}}',
  '{{.NetworkSettings.Networks.none.IPAddress}}',
  '{{.NetworkSettings.Networks.bridge.IPAddress}}',
  '{{with .NetworkSettings.Networks.bridge}}{{.IPAddress}}{{else}}none{{end}}',
  '{{index .NetworkSettings.Networks "none" | json}}',
  '{{.NetworkSettings.MacAddress}} {{.NetworkSettings.Gateway}} {{.NetworkSettings.SandboxKey}}',
  '{{.NetworkSettings.SecondaryIPAddresses}}',
  '{{.GraphDriver.Name}}',
  '{{json .GraphDriver.Data}}',
  '{{.GraphDriver.Data.MergedDir}}',
  '{{.SizeRw}}',
  '{{json .SizeRw}}',
  '{{.SizeRootFs}}',
  '{{.ExecIDs}}',
  '{{json .ExecIDs}}',
  '{{.LogPath}}',
  '{{.ResolvConfPath}}',
  '{{.RestartCount}}',
  '{{.AppArmorProfile}}|{{.MountLabel}}',
  '{{.ImageManifestDescriptor}}',
  '{{.Nope}}',
  '{{.State.Nope}}',
  '{{.Config.Labels.a.b}}',
  '{{.Name.x}}',
  '{{index .Nope 0}}',
  '{{nosuch}}',
  '{{.Id',
  '{{if .Id}}',
  'text',
  '{{upper .Name}}{{lower .Name}}{{title .Name}}',
  '{{pad .Name 2 3}}|',
  '{{truncate .Name 3}}',
  '{{printf "%s %d %v %q" .Name .State.Pid .State.Running .Name}}',
  '{{printf "%.5s" .Id}}',
  '{{slice .Id 0 12}}',
  '{{slice .Name 1}}',
  '{{print .Name .State.Pid}}',
  '{{println .Name}}',
  '{{len .Name}} {{len .Args}}',
  '{{.Name | printf "%s!" | upper}}',
  '{{and .State.Running .Name}}',
  '{{or .State.Error "none"}}',
  '{{not .State.Running}}',
  '{{if and (eq .State.Status "created") (not .State.Dead)}}fresh{{end}}',
  '{{if ne .State.ExitCode 0}}bad{{else}}good{{end}}',
  '{{if gt .State.Pid 0}}up{{else}}down{{end}}',
  '{{eq .HostConfig.PidsLimit 5}}',
  '{{eq .HostConfig.NetworkMode "none"}}',
  '{{upper .HostConfig.NetworkMode}}',
  '{{printf "%s" .HostConfig.NetworkMode}}',
  '{{html (index .Config.Labels "com.example.role")}}',
  '{{js .Name}} {{urlquery .Image}}',
  '{{$x := .Name}}{{$x}}',
  '{{with $c := .Config}}{{$c.User}}{{$.Name}}{{end}}',
  '{{define "n"}}[{{.}}]{{end}}{{template "n" .Name}}',
  '{{range .Args}}{{if eq . "-c"}}{{continue}}{{end}}{{.}};{{end}}',
  '{{range .ExecIDs}}x{{else}}none{{end}}',
  '{{- .Name -}}',
  'a\\tb',
  'a\\nb',
  '{{"\\t"}}|',
  '{{json .Nope}}',
  '{{.ContainerJSONBase.Name}}',
  '{{json .Name}} {{json .State.Pid}} {{json .HostConfig.NetworkMode}} {{json .HostConfig.RestartPolicy}}',
  '{{range $k, $v := .Config}}{{$k}}{{end}}',
  '{{range .State}}{{.}}{{end}}',
  '{{len .State}}',
  '{{index .State "Pid"}}',
  '{{join .Mounts ","}}',
  '{{split .Name "/"}}',
  '{{printf "%T" .State}} {{printf "%T" .HostConfig.NetworkMode}}',
  '{{printf "%v" .State.Health}}|{{printf "%s" .State.Health}}',
  '{{printf "%+v" .HostConfig.RestartPolicy}}|{{printf "%#v" .HostConfig.RestartPolicy}}',
  '{{printf "%v %+v" .Mounts .Config.Cmd}}',
  '{{printf "%d" .HostConfig.ConsoleSize}}',
  '{{printf "%5d|%-5d|%05d" .State.Pid .State.Pid .State.Pid}}',
  '{{.HostConfig.Resources}}',
];
const IMAGE = [
  '{{.Id}}',
  '{{.ID}}',
  '{{.RepoTags}}',
  '{{json .RepoTags}}',
  '{{index .RepoTags 0}}',
  '{{join .RepoTags ","}}',
  '{{range .RepoTags}}{{println .}}{{end}}',
  '{{.RepoDigests}}',
  '{{index .RepoDigests 0}}',
  '{{.Architecture}}/{{.Os}}',
  '{{.Os}}/{{.Architecture}}{{if .Variant}}/{{.Variant}}{{end}}',
  '{{.Size}}',
  '{{.VirtualSize}}',
  '{{.Created}}',
  '{{.Author}}',
  '{{.Parent}}',
  '{{.Comment}}',
  '{{json .Config.Labels}}',
  '{{index .Config.Labels "a"}}',
  '{{index .Config.Labels "absent"}}',
  '{{.Config.Labels}}',
  '{{range .Config.Env}}{{println .}}{{end}}',
  '{{json .Config.Env}}',
  '{{.Config.Cmd}}',
  '{{json .Config.Cmd}}',
  '{{.Config.Entrypoint}}',
  '{{json .Config.Entrypoint}}',
  '{{.Config.User}}',
  '{{.Config.WorkingDir}}',
  '{{.Config.StopSignal}}',
  '{{.Config.ExposedPorts}}',
  '{{json .Config.ExposedPorts}}',
  '{{range $p, $_ := .Config.ExposedPorts}}{{$p}} {{end}}',
  '{{.Config.Volumes}}',
  '{{json .Config.Volumes}}',
  '{{range $v, $_ := .Config.Volumes}}{{$v}}{{end}}',
  '{{.Config.Healthcheck.Test}}',
  '{{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Timeout}} {{.Config.Healthcheck.StartPeriod}}',
  '{{json .Config.Healthcheck}}',
  '{{json .Config.OnBuild}}',
  '{{json .Config.Shell}}',
  '{{.RootFS.Layers}}',
  '{{len .RootFS.Layers}}',
  '{{range .RootFS.Layers}}{{println .}}{{end}}',
  '{{json .RootFS}}',
  '{{.RootFS.Type}}',
  '{{.RootFS}}',
  '{{.GraphDriver.Name}}',
  '{{json .GraphDriver}}',
  '{{.Metadata.LastTagTime}}',
  '{{json .Metadata}}',
  '{{.Variant}}|{{.OsVersion}}',
  '{{.DockerVersion}}',
  '{{.Nope}}',
  '{{.Config.Nope}}',
  '{{if .Config.Healthcheck}}yes{{end}}',
  '{{.Config.Hostname}}|{{.Config.Tty}}',
];
const NETWORK = [
  '{{.Name}} {{.Id}}',
  '{{.ID}}',
  '{{.Driver}} {{.Scope}} {{.Internal}} {{.Attachable}} {{.Ingress}} {{.ConfigOnly}} {{.EnableIPv6}}',
  '{{.Created}}',
  '{{json .Created}}',
  '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{.IPRange}}{{end}}',
  '{{(index .IPAM.Config 0).Gateway}}',
  '{{json .IPAM}}',
  '{{.IPAM.Options}}',
  '{{.Labels}} {{.Labels.tier}}',
  '{{index .Labels "absent"}}',
  '{{json .Options}}',
  '{{.Options}}',
  '{{json .Containers}}',
  '{{range $id, $c := .Containers}}{{$c.Name}}{{end}}',
  '{{len .Containers}}',
  '{{.ConfigFrom}}',
  '{{json .}}',
  '{{.Nope}}',
];
const NETWORKS = [
  '{{.ID}} {{.Name}} {{.Driver}} {{.Scope}}',
  '{{.IPv6}} {{.Internal}} {{.Labels}}',
  '{{.CreatedAt}}',
  '{{.Label "tier"}}',
  'table {{.Name}}\t{{.ID}}\t{{.CreatedAt}}\t{{.Internal}}',
  'raw',
  '{{upper .Name}}',
  '{{.Nope}}',
];
const VOLUME = [
  '{{.Name}}',
  '{{.Mountpoint}}',
  '{{.Driver}} {{.Scope}}',
  '{{.Labels}}',
  '{{json .Labels}}',
  '{{index .Labels "tier"}}',
  '{{.Labels.absent}}',
  '{{index .Labels "absent"}}',
  '{{.Options}}',
  '{{json .Options}}',
  '{{.CreatedAt}}',
  '{{.Status}}',
  '{{json .Status}}',
  '{{.UsageData}}',
  '{{json .UsageData}}',
  '{{json .}}',
  '{{.}}',
  '{{range $k, $v := .Labels}}{{$k}}:{{$v}} {{end}}',
];
const PS = [
  '{{.ID}}',
  '{{.Names}}',
  '{{.Image}}',
  '{{.Command}}',
  '{{.CreatedAt}}',
  '{{.RunningFor}}',
  '{{.Ports}}',
  '{{.State}}',
  '{{.Status}}',
  '{{.Size}}',
  '{{.Labels}}',
  '{{.Label "a"}}',
  '{{.Label "com.example.role"}}',
  '{{.Mounts}}',
  '{{.LocalVolumes}}',
  '{{.Networks}}',
  '{{json .Names}} {{json .Labels}}',
  '{{json .Command}}',
  '{{.Names}}\\t{{.Status}}',
  '{{.ID}}: {{.Names}}\\n--',
  'table {{.ID}}\\t{{.Names}}',
  'table {{.Names}}\\t{{.Status}}\\t{{.Ports}}',
  'table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.CreatedAt}}\\t{{.RunningFor}}\\t{{.State}}\\t{{.Size}}\\t{{.Labels}}\\t{{.Mounts}}\\t{{.LocalVolumes}}\\t{{.Networks}}',
  'table {{.Names}} {{.Label "com.example.role"}}',
  'table {{.Label "com.example.some-role_x"}}\\t{{.Names}}',
  'table',
  'table{{.Names}}',
  'raw',
  'json x',
  ' {{.Names}} ',
  '{{if eq .State "running"}}{{.Names}}{{end}}',
  '{{upper .Names}} {{title .State}} {{lower .Image}}',
  '{{truncate .ID 4}}',
  '{{pad .Names 1 1}}|',
  '{{printf "%-20s|" .Names}}',
  '{{len .Names}}',
  '{{split .Image ":"}}',
  '{{index (split .Image ":") 0}}',
  '{{join (split .Labels ",") ";"}}',
  '{{range $i, $l := split .Labels ","}}{{$i}}{{$l}} {{end}}',
  '{{.Nope}}',
  '{{.ID',
  '{{"\\n"}}',
  '{{println .Names}}',
  '{{.Names}}{{with .Labels}} has {{.}}{{end}}',
  '"{{.Names}}"',
  "'{{.Names}}'",
];
const IMAGES = [
  '{{.ID}}',
  '{{.Repository}}:{{.Tag}}',
  '{{.Repository}}',
  '{{.Digest}}',
  '{{.CreatedSince}}',
  '{{.CreatedAt}}',
  '{{.Size}}',
  '{{.VirtualSize}}',
  '{{.SharedSize}}',
  '{{.UniqueSize}} {{.Containers}}',
  'table {{.Repository}}\\t{{.Tag}}\\t{{.Size}}',
  'table {{.ID}}\\t{{.Digest}}\\t{{.CreatedAt}}\\t{{.CreatedSince}}',
  'table',
  'json',
  'raw',
  '{{json .}}',
  '{{json .Tag}}',
  '{{.Nope}}',
  '{{if ne .Tag "<none>"}}{{.Repository}}:{{.Tag}}{{end}}',
  '{{printf "%s:%s" .Repository .Tag}}',
];
const VOLUMES = [
  '{{.Name}}',
  '{{.Driver}}',
  '{{.Scope}}',
  '{{.Mountpoint}}',
  '{{.Labels}}',
  '{{.Label "tier"}}',
  '{{.Size}} {{.Links}}',
  'table {{.Name}}\\t{{.Driver}}\\t{{.Scope}}\\t{{.Mountpoint}}\\t{{.Labels}}',
  'table {{.Name}}\\t{{.Label "tier"}}',
  'table',
  'json',
  'raw',
  '{{json .}}',
  '{{.Nope}}',
];
const HISTORY = [
  '{{.ID}}',
  '{{.CreatedBy}}',
  '{{.CreatedSince}}',
  '{{.CreatedAt}}',
  '{{.Size}}',
  '{{.Comment}}',
  'table {{.ID}}\\t{{.CreatedBy}}\\t{{.Size}}',
  'json',
  '{{json .}}',
  'table',
  'raw',
  '{{.Nope}}',
];
const DISK = [
  '{{.Type}}',
  '{{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}',
  'table {{.Type}}\\t{{.Size}}',
  'table',
  'json',
  'raw',
  '{{json .}}',
  '{{.Nope}}',
];
const DISK_VERBOSE = [
  '{{range .Images}}{{.Repository}}:{{.Tag}} {{.Size}} {{end}}',
  '{{range .Containers}}{{.Names}} {{.Size}} {{end}}',
  '{{range .Volumes}}{{.Name}} {{.Links}} {{.Size}} {{end}}',
  '{{len .Images}}',
  '{{json .Volumes}}',
  '{{json .Images}}',
  '{{.Nope}}',
];
const VERSION = [
  '{{.Server.Version}}',
  '{{.Server.APIVersion}} {{.Server.MinAPIVersion}}',
  '{{.Server.Os}}/{{.Server.Arch}}',
  '{{.Server.KernelVersion}}',
  '{{.Server.Platform.Name}}',
  '{{.Server.Experimental}}',
  '{{json .Server}}',
  '{{range .Server.Components}}{{.Name}} {{.Version}};{{end}}',
  '{{range .Server.Components}}{{if eq .Name "Engine"}}{{.Details.ApiVersion}}{{index .Details "Os"}}{{end}}{{end}}',
  '{{(index .Server.Components 0).Name}}',
  '{{.Server.GitCommit}}|{{.Server.GoVersion}}|{{.Server.BuildTime}}',
  '{{.Client.Context}}',
  '{{.Client.Os}}',
  '{{if .Server}}up{{end}}',
  '{{len .Server.Components}}',
  '{{',
  '{{.Server.Nope}}',
  '{{.Absent}}',
];
const INFO = [
  '{{.ServerVersion}}',
  '{{.Driver}}',
  '{{.DriverStatus}}',
  '{{json .DriverStatus}}',
  '{{.CgroupDriver}} {{.CgroupVersion}}',
  '{{.OSType}}/{{.Architecture}}',
  '{{.NCPU}} {{.MemTotal}}',
  '{{.DockerRootDir}}',
  '{{.Name}}',
  '{{.ID}}',
  '{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}} {{.Images}}',
  '{{.SecurityOptions}}',
  '{{range .SecurityOptions}}{{println .}}{{end}}',
  '{{json .SecurityOptions}}',
  '{{join .SecurityOptions ","}}',
  '{{.Swarm.LocalNodeState}}',
  '{{.Swarm}}',
  '{{json .Swarm}}',
  '{{if eq .Swarm.LocalNodeState "active"}}yes{{else}}no{{end}}',
  '{{.Swarm.ControlAvailable}}',
  '{{.Swarm.Cluster}}',
  '{{.LoggingDriver}}',
  '{{.Plugins.Log}}',
  '{{json .Plugins}}',
  '{{.Plugins}}',
  '{{.Runtimes}}',
  '{{json .Runtimes}}',
  '{{range $n, $r := .Runtimes}}{{$n}} {{end}}',
  '{{.DefaultRuntime}}',
  // as a whole it is a map of pointers, which Go prints as addresses
  '{{range $n, $i := .RegistryConfig.IndexConfigs}}{{$n}} {{$i.Name}} {{$i.Secure}} {{$i.Official}} {{end}}',
  '{{.CDISpecDirs}}',
  '{{json .RegistryConfig.Mirrors}}',
  '{{.IndexServerAddress}}',
  '{{.MemoryLimit}} {{.SwapLimit}} {{.CPUCfsQuota}} {{.CPUShares}} {{.CPUSet}} {{.PidsLimit}} {{.OomKillDisable}}',
  '{{.KernelVersion}} {{.OperatingSystem}}',
  '{{.Warnings}}',
  '{{json .Warnings}}',
  '{{range .Warnings}}{{println .}}{{end}}',
  '{{.HTTPProxy}}|{{.HTTPSProxy}}|{{.NoProxy}}',
  '{{.Labels}} {{json .Labels}}',
  '{{.ExperimentalBuild}} {{.LiveRestoreEnabled}} {{.Debug}}',
  '{{.InitBinary}} {{.InitCommit.ID}} {{.RuncCommit}}',
  '{{.ClientInfo.Context}}',
  '{{.ClientInfo.Debug}}',
  '{{.Isolation}}',
  '{{.GenericResources}}',
  '{{.DefaultAddressPools}}',
  '{{.Containerd}}',
  '{{.ProductLicense}}',
  '{{.Absent}}',
  '{{.ClientErrors}}{{.ServerErrors}}',
];
const EVENTS = [
  '{{json .}}',
  'json',
  '{{.Type}} {{.Action}} {{.Actor.ID}}',
  '{{.Status}} {{.ID}} {{.From}}',
  '{{.Actor.Attributes.name}}',
  '{{index .Actor.Attributes "image"}}',
  '{{json .Actor.Attributes}}',
  '{{.Time}} {{.TimeNano}}',
  '{{.Scope}}',
  '{{if eq .Type "container"}}{{.Action}}{{end}}',
  '{{range $k, $v := .Actor.Attributes}}{{$k}}={{$v}} {{end}}',
  'a\\tb',
  '{{"\\n"}}',
  '{{',
];

/** What is asked of a command, a template a case. */
const SUBJECTS: [words: string[], templates: string[]][] = [
  [['container', 'inspect', 'plain'], CONTAINER],
  [['container', 'inspect', 'full'], CONTAINER],
  [['image', 'inspect', 'web:1'], IMAGE],
  [['network', 'inspect', 'mine'], NETWORK],
  [['volume', 'inspect', 'data'], VOLUME],
  [['ps', '-a'], PS],
  [['images'], IMAGES],
  [['network', 'ls'], NETWORKS],
  [['volume', 'ls'], VOLUMES],
  [['history', 'web:1'], HISTORY],
  [['system', 'df'], DISK],
  [['system', 'df', '-v'], DISK_VERBOSE],
  [['version'], VERSION],
  [['info'], INFO],
  [['events', '--since', '1', '--until', '2'], EVENTS],
];

const LINES: string[][] = [
  ['container', 'inspect', '--format', '{{.Config}}', 'plain'],
  ['inspect', '--format', '{{.Name}}', 'full', 'plain'],
  ['inspect', '--type', 'container', '-f', '{{.Name}}', 'plain'],
  ['inspect', '-f', '{{len .RepoTags}}', '--type', 'image', 'web:1'],
  ['ps', '-a'],
  ['ps'],
  ['ps', '-q'],
  ['ps', '-a', '--no-trunc'],
  ['ps', '-a', '-s'],
  ['ps', '-a', '-q', '--no-trunc'],
  ['ps', '-q', '--format', '{{.Names}}'],
  ['ps', '-q', '--format', 'table'],
  ['ps', '-q', '--format', 'json'],
  ['ps', '-q', '--format', 'raw'],
  ['ps', '-as', '--format', 'raw'],
  ['ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Command}} {{.Mounts}}'],
  ['images'],
  ['images', '--digests'],
  ['images', '--no-trunc'],
  ['images', '-q', '--format', '{{.Tag}}'],
  ['images', '-q', '--format', 'table'],
  ['images', '-q', '--format', 'raw'],
  ['images', '--digests', '--format', 'raw'],
  ['image', 'ls', '--digests', '--format', '{{.Digest}}'],
  ['network', 'ls'],
  ['network', 'ls', '-q'],
  ['network', 'ls', '-q', '--no-trunc'],
  ['network', 'ls', '-q', '--format', 'raw'],
  ['network', 'inspect', 'mine', 'bridge'],
  ['volume', 'ls'],
  ['volume', 'ls', '-q'],
  ['volume', 'ls', '-q', '--format', '{{.Driver}}'],
  ['volume', 'ls', '-q', '--format', 'raw'],
  ['history', 'web:1'],
  ['history', '-q', 'web:1'],
  ['history', '--no-trunc', 'web:1'],
  ['history', '-H=false', 'web:1'],
  ['history', '-q', '--no-trunc', 'web:1'],
  ['history', '-q', '--format', 'table', 'web:1'],
  ['system', 'df'],
];
/** config.json of the client → a command that it changes, or does not */
const CONFIGURED: [config: object, words: string[]][] = [
  [{ psFormat: 'PS {{.Names}}' }, ['ps', '-a']],
  [{ psFormat: 'table {{.Names}}\\t{{.State}}' }, ['ps', '-a', '-s']],
  [{ psFormat: 'PS {{.Names}}' }, ['ps', '-a', '--format', 'table']],
  [{ psFormat: 'PS {{.Names}}' }, ['ps', '-a', '-q']],
  [{ imagesFormat: '{{.Repository}}' }, ['images']],
  [{ imagesFormat: '{{.Repository}}' }, ['images', '-q', '--format', '{{.Tag}}']],
  [{ networksFormat: '{{.Name}}!' }, ['network', 'ls']],
  [{ volumesFormat: '{{.Name}}!' }, ['volume', 'ls']],
  [{ volumesFormat: '{{.Name}}!' }, ['volume', 'ls', '-q']],
];

/**
 * Asked of Docker 28 and newer only: 26 prints labels in no order, and its types lack these fields or have other names.
 */
const NEWER = new Set([
  '{{json .NetworkSettings}}',
  '{{json .NetworkSettings.Networks}}',
  '{{index .NetworkSettings.Networks "none" | json}}',
  '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{.GwPriority}}{{end}}',
  '{{.ImageManifestDescriptor}}',
  '{{printf "%T" .State}} {{printf "%T" .HostConfig.NetworkMode}}',
  '{{printf "%v" .State.Health}}|{{printf "%s" .State.Health}}',
  ...PS.filter((template) => template.includes('.Labels')),
  'ps -as --format raw',
  'raw',
  '{{json .Images}}',
  '{{.Containerd}}',
  '{{.Server.Nope}}',
  '{{.Absent}}',
]);
const asked = (docker: DockerClient, template: string): boolean => docker.major >= 28 || !NEWER.has(template);

/** between two templates of one run; no value and no template has it */
const SEPARATOR = '\x1f';
/** templates to a run: each run of the client costs a tenth of a second of CPU */
const TOGETHER = 40;
/** clients that run at the same time */
const AT_ONCE = 4;

if (typeof client === 'string') {
  test.skip(`what Docker's client prints (${client})`, () => {});
} else {
  test.before(async () => {
    subject = await makeSubject();
    fake = await startFakeDockerEngine(socket, subject.answers);
  });
  test.after.always(async () => {
    await fake?.[Symbol.asyncDispose]();
    subject?.[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [words, templates] of SUBJECTS) {
    test.serial(`docker ${words.join(' ')} --format …`, async (t) => {
      const alone: string[] = [];
      const together: string[] = [];
      for (const template of templates.filter((each) => asked(client, each)))
        ((await standsAlone(words, template)) ? alone : together).push(template);
      for (let at = 0; at < together.length; at += TOGETHER) {
        const some = together.slice(at, at + TOGETHER);
        if (!(await differs(client, [...words, '--format', some.join(SEPARATOR)]))) t.pass();
        else alone.push(...some);
      }
      await agree(
        t,
        client,
        alone.map((template) => ({ words: [...words, '--format', template] })),
      );
    });
  }
  test.serial('docker command lines', (t) =>
    agree(
      t,
      client,
      LINES.filter((words) => asked(client, words.join(' '))).map((words) => ({ words })),
    ),
  );
  for (const command of ['info', 'version']) {
    // husk's own lines stand between Docker's; versions of Go and of other runtimes, a commit and a date nowhere
    test.serial(`docker ${command} as text: the lines that scripts look for, in their order`, async (t) => {
      const [theirs, ours] = await Promise.all([
        runDocker(client, [command], { socket, config: folder }),
        husk([command], surroundings()),
      ]);
      const lines = (text: string): string[] =>
        text
          .slice(text.indexOf('\nServer:'))
          .split('\n')
          // the client takes them out of a map, in another order each time
          .map((line) =>
            line.replace(
              /^ Runtimes: (.*)$/,
              (_, names: string) => ` Runtimes: ${names.split(' ').toSorted().join(' ')}`,
            ),
          )
          .filter(
            (line) =>
              line.trim() !== '' &&
              !/^ +(?:containerd version|runc version|init version|Go version|Git commit|Built|Experimental|ApiVersion|Arch|BuildTime|GitCommit|GoVersion|KernelVersion|MinAPIVersion|Os): /.test(
                line,
              ),
          );
      const [wanted, found] = [lines(theirs.stdout), lines(ours.stdout)];
      t.true(wanted.length > 5);
      t.deepEqual(
        wanted.filter((line) => !found.includes(line)),
        [],
      );
      t.deepEqual(
        found.filter((line) => wanted.includes(line)),
        wanted,
      );
      t.deepEqual(/^WARNING: .*$/m.exec(ours.stderr)?.[0], /^WARNING: .*$/m.exec(theirs.stderr)?.[0]);
    });
  }
  test.serial("docker's config.json", (t) =>
    agree(
      t,
      client,
      CONFIGURED.map(([config, words]) => ({ words, config })),
    ),
  );
}

/** What fails, or is asked of the JSON because Docker's types do not know it, would take others along. */
async function standsAlone(words: string[], template: string): Promise<boolean> {
  if (/^(?:table|raw|json)|^\s|\s$/.test(template)) return true;
  const typedOnly = words[1] === 'inspect' && words[0] !== 'volume' ? TYPED_ONLY : '';
  const { code } = await husk([...words, '--format', template + typedOnly], surroundings());
  return code !== 0;
}

/** prints nothing; the JSON has no such key, so that what needs the JSON fails with it */
const TYPED_ONLY = '{{with .ID}}{{end}}';

const surroundings = (config = folder) => ({
  engine: subject.engine,
  env: { ...subject.env, DOCKER_CONFIG: config },
  now: Date.now(),
});

/** `system df -v --format` is the one output that Docker's client does not end with a line break. */
const endsOpen = (words: string[]): boolean => words[1] === 'df' && words[2] === '-v';

async function agree(
  t: ExecutionContext,
  docker: DockerClient,
  cases: { words: string[]; config?: object }[],
): Promise<void> {
  const wrong: string[] = [];
  const left = [...cases];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) {
      const difference = await differs(docker, next.words, next.config);
      if (difference !== undefined)
        wrong.push(`${next.config ? JSON.stringify(next.config) : ''} ${next.words.join(' ')}\n${difference}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  t.is(wrong.join('\n\n'), '');
}

/** @returns what husk does otherwise than the client */
async function differs(docker: DockerClient, words: string[], config: object = {}): Promise<string | undefined> {
  const configFolder = mkdtempSync(join(folder, 'config-'));
  writeFileSync(join(configFolder, 'config.json'), JSON.stringify(config));
  const [theirs, ours] = await Promise.all([
    runDocker(docker, words, { socket, config: configFolder }),
    husk(words, surroundings(configFolder)),
  ]);
  const shown = ({ code, stdout, stderr }: typeof theirs): string =>
    `exit ${code}\n${endsOpen(words) ? stdout.trimEnd() : stdout}\n${lastLine(stderr)}`;
  return shown(ours) === shown(theirs) ? undefined : `docker: ${shown(theirs)}\nhusk: ${shown(ours)}`;
}

/** without what is before the text, and without the name that Docker's client gives the template of `version` alone */
const lastLine = (text: string): string =>
  (text.trimEnd().split('\n').at(-1) ?? '')
    .replace(/^(?:Error: )+/, '')
    .replace('template: version:', 'template: :')
    .replace('executing "version"', 'executing ""');
