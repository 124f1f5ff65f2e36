import { doctor } from '../services/config/doctor.ts'

if (import.meta.main) {
  const { exitCode, stdout, stderr } = doctor(process.argv.slice(2), process.env)
  process.stdout.write(stdout)
  process.stderr.write(stderr)
  process.exitCode = exitCode
}
