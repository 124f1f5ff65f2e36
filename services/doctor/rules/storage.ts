import { posix } from 'node:path'
import type { Field } from '../documents/field.ts'
import type { Context } from './context.ts'

const POSTGRES = '"secrets": [{ "name": "DATABASE_URL", "valueFrom": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME" }] with postgres://…'

/** Where an SQLite database is: the loader only asks whether anybody accepted that. */
export function checkStorage (context: Context): void {
  const { container, task, whole, loaded } = context
  const mounts = container.at('mountPoints').items
  const volumes = task.field.at('volumes')
  if (whole && !volumes.unknown) mounts.forEach((mount) => checkVolume(context, mount))
  const { kind, path, allowNodeDurability } = loaded.config.database
  if (kind !== 'sqlite' || !context.isCertain('DATABASE_URL') || !context.isCertain('ALLOW_NODE_DURABILITY') || container.at('mountPoints').unknown) return
  const field = context.variable('DATABASE_URL')?.field ?? container.at('environment')
  const mount = path === ':memory:' ? null : mountOf(mounts, posix.resolve('/app', path))
  checkWritable(context, mount, path, field)
  if (!allowNodeDurability || !whole) return
  const volume = mount === null ? null : volumeOf(context, mount)
  if (volume !== null && isNetwork(volume)) {
    context.add('FST_BRK_ECS_NETWORK_DISK', field, 'The database is on a network file system: the write-ahead log of SQLite needs shared memory, and two tasks of one deployment would corrupt it (sqlite.org/wal.html).', POSTGRES)
  } else if (volume === null || !isKept(volume)) {
    context.add('FST_BRK_ECS_EPHEMERAL_DISK', field, `ALLOW_NODE_DURABILITY is true, but ${path === ':memory:' ? 'the database is in memory' : 'no volume that outlives the task is mounted there'}: accepted messages are lost with every deployment.`, POSTGRES)
  }
}

function checkVolume (context: Context, mount: Field): void {
  const name = mount.at('sourceVolume')
  if (mount.unknown || name.unknown || volumeOf(context, mount) !== null) return
  context.add('FST_BRK_ECS_VOLUME', name, `The mount point names the volume ${name.text}, which is not among the volumes of the task.`, `"volumes": [{ "name": "${name.text}" }] beside containerDefinitions`)
}

function checkWritable (context: Context, mount: Field | null, path: string, field: Field): void {
  const root = context.container.at('readonlyRootFilesystem').flag === true
  const readOnly = mount === null ? root && path !== ':memory:' : mount.at('readOnly').flag === true
  if (!readOnly) return
  context.add('FST_BRK_ECS_READ_ONLY_DISK', mount?.at('readOnly') ?? field, `The database is ${path}, ${mount === null ? 'on the root file system, which is read-only' : 'on a volume that is mounted read-only'}: the service cannot start.`, POSTGRES)
}

/** The one with the longest path above it. */
function mountOf (mounts: Field[], file: string): Field | null {
  const above = mounts.filter((mount) => {
    const path = mount.at('containerPath').text?.replace(/\/+$/, '') ?? '\0'
    return mount.unknown || file.startsWith(`${path}/`)
  })
  return above.sort((one, other) => (other.at('containerPath').text?.length ?? 0) - (one.at('containerPath').text?.length ?? 0))[0] ?? null
}

function volumeOf ({ task }: Context, mount: Field): Field | null {
  const name = mount.at('sourceVolume').text
  return task.field.at('volumes').items.find((volume) => volume.at('name').text === name) ?? null
}

function isNetwork (volume: Field): boolean {
  return ['efsVolumeConfiguration', 'fsxWindowsFileServerVolumeConfiguration', 's3filesVolumeConfiguration'].some((name) => !volume.at(name).absent)
}

/** A folder of the machine, or a Docker volume that is shared. An EBS volume of a service's task goes with the task. */
function isKept (volume: Field): boolean {
  return volume.at('host', 'sourcePath').pattern !== null || volume.at('dockerVolumeConfiguration', 'scope').text === 'shared'
}
