import { monitorEventLoopDelay } from 'node:perf_hooks'
import { contenders } from './contenders.ts'
import { VALUE, shapes } from './shapes.ts'

/** One contender in a process of its own, so that heap, garbage and event loop are nobody else's. Its parent says what to run and when. */
export interface Order { shape: string, seconds: number }
export interface Report { perSecond: number, p99Ms: number, loopMaxMs: number, bytesPerCommand: number }

const [, , name, url] = process.argv
const contender = await contenders[name!]!(url!)
await contender.set('key', VALUE)
let commandsPerRun = 1000

/** Nothing is collected meanwhile: the young generation of this process is larger than what these calls leave. */
async function bytesPerCommand (shape: string): Promise<number> {
  globalThis.gc!()
  const before = process.memoryUsage().heapUsed
  const commands = await shapes[shape]!(contender, 4000, () => {})
  return (process.memoryUsage().heapUsed - before) / commands
}

async function measure ({ shape, seconds }: Order): Promise<Report> {
  const run = shapes[shape]!
  const bytes = await bytesPerCommand(shape)
  const latencies: number[] = []
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  let commands = 0
  const startedAt = performance.now()
  let elapsedMs = 0
  while (elapsedMs < seconds * 1000) {
    const before = performance.now()
    const done = await run(contender, commandsPerRun, (ms) => { latencies.push(ms) })
    commands += done
    elapsedMs = performance.now() - startedAt
    // So large that starting and ending a run is not what is measured.
    commandsPerRun = Math.max(1000, done * 100 / Math.max(1, performance.now() - before))
  }
  delay.disable()
  latencies.sort((a, b) => a - b)
  return {
    perSecond: commands / elapsedMs * 1000,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)]!,
    loopMaxMs: Math.max(0, delay.max / 1e6 - 5),
    bytesPerCommand: bytes
  }
}

process.on('message', (order: Order) => { void measure(order).then((report) => process.send!(report)) })
process.once('disconnect', () => { void Promise.resolve(contender.close()).then(() => process.exit()) })
process.send!('ready')
