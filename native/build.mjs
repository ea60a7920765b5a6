/**
 * Builds `native/build/relay.node` where it can, at install.
 *
 * Only an accelerator is lost without it: the portable stream relay does the same work, so a
 * missing compiler is no failed install. On anything but success this prints exactly one line
 * and exits 0. `--strict`, for CI: warnings are errors and a failure exits 1. At install they are
 * not: a compiler newer than this code must not cost an operator the relay.
 *
 * Needs a C compiler (`$CC`, or `cc`) and the headers of the npm package `node-api-headers`:
 * Node-API is a stable ABI, so one binary serves every Node from 20 on, and no Node headers are
 * downloaded. `$SALLYPORT_NODE_API_HEADERS` names another folder with `node_api.h`.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))

/** What the relay proper consists of, without Node-API. The harness compiles the same list. */
export const RELAY_SOURCES = [
  'dial',
  'direction',
  'door',
  'engine',
  'original_dst',
  'pipe_pool',
  'queue',
  'relay',
  'table',
  'tunnel',
  'wheel',
].map((name) => join(here, `${name}.c`))

export const WARNINGS = ['-std=c11', '-Wall', '-Wextra']

const FLAGS = ['-O2', '-fPIC', '-shared', '-pthread', '-fvisibility=hidden', '-fstack-protector-strong']
/** Undefined first: some distributions' compilers define it, and twice is a warning. */
const FORTIFY = ['-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2']
/** Everything resolved at load and then read-only, no executable stack, no unused libraries. */
const LINK = ['-Wl,-z,relro,-z,now', '-Wl,-z,noexecstack', '-Wl,--as-needed']

export const compiler = () => (process.env['CC'] || 'cc').split(' ').filter((word) => word !== '')

/** The folder of `node_api.h`, or undefined. */
function findHeaders() {
  const named = process.env['SALLYPORT_NODE_API_HEADERS']
  if (named) return existsSync(join(named, 'node_api.h')) ? named : undefined
  try {
    // Not the package's main file: that depends on how it is published.
    const folder = dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json'))
    return existsSync(join(folder, 'include', 'node_api.h')) ? join(folder, 'include') : undefined
  } catch {
    return undefined
  }
}

/**
 * @param {{ strict?: boolean }} options
 * @returns {{ built: string } | { because: string }}
 */
export function build({ strict = false } = {}) {
  if (process.platform !== 'linux') return { because: `it needs Linux, not ${process.platform}` }
  const headers = findHeaders()
  if (headers === undefined) return { because: 'the package `node-api-headers` is not installed' }
  const [cc, ...ccArguments] = compiler()
  const folder = join(here, 'build')
  const target = join(folder, 'relay.node')
  // Renamed into place: a gateway that runs from this folder keeps the file it has mapped.
  const fresh = join(folder, `relay.${process.pid}.tmp`)
  mkdirSync(folder, { recursive: true })
  const sources = [...RELAY_SOURCES, join(here, 'values.c'), join(here, 'addon.c')]
  const flags = [...ccArguments, ...WARNINGS, ...(strict ? ['-Werror'] : []), ...FLAGS, ...FORTIFY, `-I${headers}`]
  const run = spawnSync(cc ?? 'cc', [...flags, ...sources, '-o', fresh, ...LINK], { encoding: 'utf8' })
  if (run.status === 0) {
    renameSync(fresh, target)
    return { built: target }
  }
  rmSync(fresh, { force: true })
  // A binary of older sources would be worse than none.
  rmSync(target, { force: true })
  if (run.error) return { because: `no C compiler \`${cc}\` was found` }
  const first =
    (run.stderr ?? '').split('\n').find((line) => line.includes('error')) ?? `\`${cc}\` ended with ${run.status ?? run.signal}`
  return { because: first.trim() }
}

if (process.argv[1] !== undefined && fileURLToPath(import.meta.url) === process.argv[1]) {
  const strict = process.argv.includes('--strict')
  const result = build({ strict })
  if ('because' in result) {
    process.stderr.write(`sallyport: the kernel relay was not built, the portable relay will run: ${result.because}\n`)
    if (strict) process.exitCode = 1
  }
}
