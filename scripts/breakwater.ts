#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { nearest } from '../services/naming/nearest.ts'

const USAGE = `Keeps a service up, healthy and lossless through a Redis outage.

  breakwater doctor    finds what is wrong with the environment, a task definition, or the way to Redis
  breakwater queue     shows the queue and its dead letters, replays and purges them
  breakwater consume   takes messages from the queue and prints them
  breakwater rollback  deploys an earlier revision of an ECS service, and returns where that fails
  breakwater verify    checks a deployment from outside: health, a registration, its event
  breakwater --version
  breakwater --help

Every command has its own --help. Exit code: 0 good, 1 bad, 2 warnings.
`

type Command = (args: string[], env: NodeJS.ProcessEnv) => Promise<number>

/** Loaded when asked for: none pays for the others. */
const commands: Record<string, Command> = {
  async doctor (args, env) {
    const { doctor } = await import('../services/doctor/doctor.ts')
    const { exitCode, stdout, stderr } = await doctor(args, env)
    process.stdout.write(stdout)
    process.stderr.write(stderr)
    return exitCode
  },
  queue: async (args, env) => await (await import('./queue.ts')).queue(args, env),
  consume: async (args, env) => await (await import('./consume.ts')).consume(args, env),
  rollback: async (args, env) => await (await import('./rollback.ts')).rollback(args, env),
  verify: async (args, env) => await (await import('./verify-deployment.ts')).verify(args, env)
}

/** @returns the exit code: 0 good, 1 bad, 2 warnings. */
export async function breakwater ([name, ...args]: string[], env: NodeJS.ProcessEnv): Promise<number> {
  if (name === '--help' || name === 'help') return say(process.stdout, USAGE, 0)
  if (name === '--version') return say(process.stdout, `${version()}\n`, 0)
  if (name === undefined) return say(process.stderr, USAGE, 1)
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return await command(args, env)
  const meant = nearest(name, Object.keys(commands), 3)
  return say(process.stderr, `There is no command "${name}"${meant === null ? '' : `; did you mean ${meant}?`}\n\n${USAGE}`, 1)
}

/** The manifest lies above this file: one step in a clone, two in the package. */
function version (): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as { version: string }).version
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err
    }
  }
  return 'unknown'
}

function say (stream: NodeJS.WriteStream, text: string, exitCode: number): number {
  stream.write(text)
  return exitCode
}

if (import.meta.main) process.exitCode = await breakwater(process.argv.slice(2), process.env)
