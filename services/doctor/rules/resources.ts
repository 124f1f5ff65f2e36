import type { Field } from '../documents/field.ts'
import { expected } from '../expected-numbers.ts'
import type { Context } from './context.ts'

const GB = 1024
/** CPU units → memory in MiB: from, to, step. @see https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html */
const FARGATE: Record<number, [from: number, to: number, step: number]> = {
  256: [512, 2 * GB, 512],
  512: [GB, 4 * GB, GB],
  1024: [2 * GB, 8 * GB, GB],
  2048: [4 * GB, 16 * GB, GB],
  4096: [8 * GB, 30 * GB, GB],
  8192: [16 * GB, 60 * GB, 4 * GB],
  16384: [32 * GB, 120 * GB, 8 * GB]
}

export function checkResources (context: Context): void {
  checkPair(context)
  checkSums(context)
  checkMemory(context)
  checkPlatform(context)
}

function checkPair (context: Context): void {
  const { task, fargate } = context
  if (fargate !== true) return
  const [cpuField, memoryField] = [task.field.at('cpu'), task.field.at('memory')]
  if (cpuField.unknown || memoryField.unknown) return
  const [cpu, memory] = [units(cpuField, 'vcpu'), units(memoryField, 'gb')]
  if (cpu !== null && cpu > 16384) return
  const [from, to, step] = FARGATE[cpu ?? 0] ?? []
  if (from !== undefined && memory !== null && memory >= from && memory <= to! && (memory % step! === 0) && !(cpu === 256 && memory === 1536)) return
  const pair = from === undefined ? '"cpu": "256", "memory": "512"' : `"cpu": "${cpu}", "memory": "${nearestMemory(memory ?? 0, from, to!, step!)}"`
  context.add('FST_BRK_ECS_CPU_MEMORY', memory === null ? memoryField : cpuField, `Fargate has no task with cpu ${cpuField.text ?? 'unset'} and memory ${memoryField.text ?? 'unset'}.`, pair)
}

function nearestMemory (memory: number, from: number, to: number, step: number): number {
  return Math.min(to, Math.max(from, Math.ceil(memory / step) * step))
}

/** ECS takes `1024`, `1 vCPU` and `2 GB`. */
function units (field: Field, unit: 'vcpu' | 'gb'): number | null {
  const [, number, written] = /^\s*(\d*\.?\d+)\s*(vcpu|gb)?\s*$/i.exec(field.text ?? '') ?? []
  if (number === undefined) return null
  if (written === undefined) return Number(number)
  return written.toLowerCase() === unit ? Number(number) * GB : null
}

function checkSums (context: Context): void {
  const { task } = context
  const whole = { cpu: units(task.field.at('cpu'), 'vcpu'), memory: units(task.field.at('memory'), 'gb') }
  for (const name of ['cpu', 'memory'] as const) {
    const sum = task.containers.reduce((total, container) => total + (container.at(name).number ?? 0), 0)
    if (whole[name] !== null && sum > whole[name]) {
      context.add('FST_BRK_ECS_MEMORY_SUM', task.field.at(name), `The containers together are given ${sum} of ${name}, the task has ${whole[name]}.`, `"${name}": "${sum}" for the task, or less for the containers`)
    }
  }
  for (const container of task.containers) {
    const [hard, soft] = [container.at('memory').number, container.at('memoryReservation').number]
    if (hard !== null && soft !== null && soft > hard) {
      context.add('FST_BRK_ECS_MEMORY_SUM', container.at('memoryReservation'), `memoryReservation is ${soft}, more than the limit, memory ${hard}.`, `"memoryReservation": ${hard}`)
    }
  }
}

function checkMemory (context: Context): void {
  const { container, task, fargate, whole, neighbours } = context
  const field = container.at('memory')
  const [task_, own] = [units(task.field.at('memory'), 'gb'), field.number]
  if (field.unknown || task.field.at('memory').unknown) return
  const others = neighbours.reduce((sum, other) => sum + (other.at('memory').number ?? other.at('memoryReservation').number ?? 0), 0)
  const limit = own ?? (task_ === null ? null : task_ - others)
  if (limit === null) {
    if (whole && fargate !== true && container.at('memoryReservation').absent) {
      context.add('FST_BRK_ECS_MEMORY', field, 'Neither the task nor the container has memory or memoryReservation; ECS refuses that.', `"memory": ${expected.goodMemoryMiB}`)
    }
    return
  }
  if (limit < expected.goodMemoryMiB) {
    const code = limit < expected.leastMemoryMiB ? 'FST_BRK_ECS_MEMORY' : 'FST_BRK_ECS_MEMORY_TIGHT'
    context.add(code, own === null ? task.field.at('memory') : field, `The service has ${limit} MiB${own === null && others > 0 ? ' beside the other containers' : ''}; it needs ${expected.leastMemoryMiB} to start and ${expected.goodMemoryMiB} to work.`, `"memory": ${expected.goodMemoryMiB}`)
  }
  checkHeap(context, limit)
}

function checkHeap (context: Context, limit: number): void {
  const texts = [context.variable('NODE_OPTIONS')?.field, ...context.container.at('command').items, ...context.container.at('entryPoint').items]
  for (const field of texts) {
    const [, size] = /--max[-_]old[-_]space[-_]size[= ](\d+)/.exec(field?.text ?? '') ?? []
    if (size === undefined || Number(size) < limit) continue
    context.add('FST_BRK_ECS_HEAP_LIMIT', field!, `Node may use ${size} MiB of heap, the container has ${limit} MiB: it is killed (exit code 137) before it collects garbage.`, `--max-old-space-size=${Math.floor(limit * 0.75)}`)
  }
}

function checkPlatform (context: Context): void {
  const platform = context.task.field.at('runtimePlatform')
  const [family, architecture] = [platform.at('operatingSystemFamily'), platform.at('cpuArchitecture')]
  if (family.text !== null && family.text !== 'LINUX') {
    context.add('FST_BRK_ECS_PLATFORM', family, `operatingSystemFamily is ${family.text}; the image is for LINUX.`, '"operatingSystemFamily": "LINUX"')
  }
  if (architecture.text !== null && !['X86_64', 'ARM64'].includes(architecture.text)) {
    context.add('FST_BRK_ECS_PLATFORM', architecture, `cpuArchitecture is ${architecture.text}; ECS knows X86_64 and ARM64.`, `"cpuArchitecture": "${/arm|aarch/i.test(architecture.text) ? 'ARM64' : 'X86_64'}"`)
  }
}
