import { openEcs } from '../services/deployment/rollback/ecs-client.ts'
import type { EcsService } from '../services/deployment/rollback/ecs-client.ts'
import type { Plan } from '../services/deployment/rollback/plan.ts'
import { checkRevision } from '../services/deployment/rollback/revision.ts'
import { Rollback } from '../services/deployment/rollback/rollback.ts'
import type { Outcome, Result } from '../services/deployment/rollback/rollback.ts'
import { shortName } from '../services/deployment/rollback/state.ts'
import { confirm } from './confirm.ts'
import { USAGE, readFlags } from './rollback/flags.ts'
import type { RollbackFlags } from './rollback/flags.ts'
import { planText } from './rollback/text.ts'
import { asJson, printable, say } from './text.ts'

type Ended = { outcome: 'planned' | 'declined', message: string } | Result

const GOOD: (Ended['outcome'])[] = ['planned', 'rolled_back', 'already_deployed'] satisfies (Outcome | 'planned')[]

/** @returns the exit code: 0 good, 1 bad, 2 warnings. */
export async function rollback (args: string[], _env: NodeJS.ProcessEnv): Promise<number> {
  const flags = readFlags(args)
  if (flags === 'help') return say(process.stdout, USAGE, 0)
  if ('wrong' in flags) return say(process.stderr, `${flags.wrong}\n\n${USAGE}`, 1)
  const interruption = new AbortController()
  const stop = () => interruption.abort()
  // Once: a second signal ends the process as usual.
  process.once('SIGINT', stop).once('SIGTERM', stop)
  let ecs: EcsService | null = null
  try {
    checkRevision(flags.revision)
    ecs = await openEcs(flags)
    return await carryOut(flags, ecs, interruption.signal)
  } catch (err) {
    const { code = 'FST_BRK_UNEXPECTED', message } = err as { code?: string, message: string }
    return flags.json ? say(process.stdout, asJson({ outcome: 'failed', error: { code, message } }), 1) : say(process.stderr, `${printable(message)}\n`, 1)
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    ecs?.close()
  }
}

async function carryOut (flags: RollbackFlags, ecs: EcsService, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now()
  const elapsed = () => Math.round((performance.now() - startedAt) / 1000)
  const onProgress = (line: string) => { process.stderr.write(`${elapsed()} s: ${printable(line)}\n`) }
  const action = new Rollback({ ...flags, ecs, signal, onProgress })
  const plan = await action.plan(flags.revision)
  say(flags.json ? process.stderr : process.stdout, planText(plan, flags), 0)
  const ended = await decide(flags, plan, action, signal)
  const events = GOOD.includes(ended.outcome) || ended.outcome === 'declined' ? [] : await latestEvents(ecs)
  const exitCode = exitCodeOf(ended, plan)
  if (flags.json) return say(process.stdout, asJson(documentOf(flags, plan, ended, events, elapsed(), exitCode)), exitCode)
  for (const event of events) process.stderr.write(`ECS: ${printable(event)}\n`)
  return say(exitCode === 1 ? process.stderr : process.stdout, `${ended.message}${reasonOf(ended)}\n`, exitCode)
}

async function decide (flags: RollbackFlags, plan: Plan, action: Rollback, signal: AbortSignal): Promise<Ended> {
  if (flags.dryRun) return { outcome: 'planned', message: 'This was a dry run. Nothing was changed.' }
  if (plan.action !== 'none' && !flags.yes) {
    if (!process.stdin.isTTY) return { outcome: 'declined', message: 'Without a terminal to ask, a rollback needs --yes. Nothing was changed.' }
    if (!await confirm(`Deploy ${shortName(plan.to)} to ${flags.service}?`, signal)) return { outcome: 'declined', message: 'Nothing was changed.' }
  }
  return await action.run(plan)
}

/** What ECS says about a failure stands in the events of the service, and often nowhere else. */
async function latestEvents (ecs: EcsService): Promise<string[]> {
  try {
    return (await ecs.service()).events.slice(0, 5).map(({ message }) => message)
  } catch {
    return []
  }
}

function exitCodeOf (ended: Ended, { desired }: Plan): number {
  if (!GOOD.includes(ended.outcome)) return 1
  if (ended.outcome === 'planned' || !('health' in ended)) return 0
  if (ended.health?.ok === false) return 1
  return ended.health?.status === 'degraded' || desired === 0 ? 2 : 0
}

function reasonOf (ended: Ended): string {
  const reason = 'reason' in ended && ended.reason !== null ? ` Reason: ${printable(ended.reason)}.` : ''
  return 'health' in ended && ended.health !== null && ended.health.ok ? ` Health: ${printable(ended.health.detail)}.` : reason
}

function documentOf (flags: RollbackFlags, plan: Plan, ended: Ended, events: string[], seconds: number, exitCode: number): object {
  const { reason = null, health = null, now = plan.from } = ended as Partial<Result>
  return {
    outcome: ended.outcome,
    exit_code: exitCode,
    message: ended.message,
    reason,
    cluster: flags.cluster,
    service: flags.service,
    from: plan.from,
    to: plan.to,
    now,
    undo_to: plan.undoTo,
    dry_run: flags.dryRun,
    changes: plan.changes,
    warnings: plan.warnings,
    health,
    events,
    seconds
  }
}

if (import.meta.main) process.exitCode = await rollback(process.argv.slice(2), process.env)
