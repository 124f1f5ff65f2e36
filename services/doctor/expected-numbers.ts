/** Paths, times (s) and sizes that the service is made for; deploy/ecs has the same. Sources: docs/doctor.md. */
export const expected = {
  containerPath: '/health/live',
  targetPath: '/health/alb',
  intervalSeconds: 10,
  timeoutSeconds: 2,
  retries: 3,
  startPeriodSeconds: 10,
  gracePeriodSeconds: 30,
  stopTimeoutSeconds: 30,
  deregistrationSeconds: 20,
  healthyThreshold: 2,
  unhealthyThreshold: 3,
  matcher: '200',
  /** After the drain, the service ends by itself within this; see server.ts. */
  closeCapSeconds: 10,
  /** ECS' own stop timeout, where none is stated. */
  defaultStopTimeoutSeconds: 30,
  /** The process takes about 170 MiB before its first request. */
  leastMemoryMiB: 256,
  goodMemoryMiB: 512
} as const

/** Node itself asks: the image has neither curl nor wget. */
export function healthCommand (port: number | string): string[] {
  return ['CMD', 'node', '-e', `fetch('http://127.0.0.1:${port}${expected.containerPath}',{signal:AbortSignal.timeout(1500)}).then(r=>process.exit(r.ok?0:1),()=>process.exit(1))`]
}
