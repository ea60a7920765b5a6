/**
 * Runs the relay proper in its C harness under the sanitizers: AddressSanitizer with
 * UndefinedBehaviorSanitizer, then ThreadSanitizer. About 20 seconds.
 *
 *     node native/test/run.mjs [part of a case's name]
 *
 * Without a compiler that has them it says so and exits 0, or 1 with CI set.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compiler, RELAY_SOURCES, WARNINGS } from '../build.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const VARIANTS = [
  { name: 'address and undefined behaviour', flags: ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'] },
  { name: 'threads', flags: ['-fsanitize=thread'] },
]
/** Two minutes for what takes ten seconds: a machine under load, and a hang that still ends. */
const PATIENCE_MS = 120_000

const say = (line) => process.stdout.write(`${line}\n`)

function run(folder, { name, flags }) {
  const [cc = 'cc', ...ccArguments] = compiler()
  const program = join(folder, 'harness')
  const cases = readdirSync(here)
    .filter((file) => file.endsWith('.c'))
    .map((file) => join(here, file))
  const build = spawnSync(
    cc,
    [
      ...ccArguments,
      ...WARNINGS,
      '-Werror',
      '-g',
      '-O1',
      '-fno-omit-frame-pointer',
      ...flags,
      ...RELAY_SOURCES,
      ...cases,
      '-o',
      program,
      '-pthread',
    ],
    { encoding: 'utf8' },
  )
  if (build.error) return { skipped: `no C compiler \`${cc}\` was found` }
  if (build.status !== 0 && /cannot find.*(asan|tsan|ubsan)|unsupported option|unrecognized/i.test(build.stderr))
    return { skipped: `\`${cc}\` has no sanitizer for ${name}` }
  if (build.status !== 0) return { failed: build.stderr }
  say(`# ${name}`)
  const outcome = spawnSync(program, process.argv.slice(2), {
    stdio: 'inherit',
    timeout: PATIENCE_MS,
    env: { ...process.env, TSAN_OPTIONS: 'halt_on_error=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
  })
  return outcome.status === 0 ? {} : { failed: `the harness ended with ${outcome.status ?? outcome.signal}` }
}

if (process.platform !== 'linux') {
  say('the relay is for Linux: nothing to run')
} else {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-relay-'))
  try {
    for (const variant of VARIANTS) {
      const { skipped, failed } = run(folder, variant)
      if (skipped !== undefined) say(`skipped: ${skipped}`)
      if (failed !== undefined) process.stderr.write(`${variant.name}: ${failed}\n`)
      if (failed !== undefined || (skipped !== undefined && process.env['CI'])) process.exitCode = 1
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
