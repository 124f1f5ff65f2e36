import { doctor } from '../services/doctor/doctor.ts'

if (import.meta.main) {
  const { exitCode, stdout, stderr } = await doctor(process.argv.slice(2), process.env)
  process.stdout.write(stdout)
  process.stderr.write(stderr)
  process.exitCode = exitCode
}
