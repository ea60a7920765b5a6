import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, describe, expect, it } from 'vitest'
import { run } from '../support/run.ts'

/** The library as a program finds it that has installed the package: through `exports`, as it was built. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'sallyport-library-'))
mkdirSync(join(folder, 'node_modules'))
symlinkSync(ROOT, join(folder, 'node_modules', 'sallyport'))
writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, text: string): string {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

async function runScript(name: string, text: string) {
  return run(process.execPath, [write(name, text)], { cwd: folder })
}

describe('createGateway', () => {
  it('serves inside another program, tells what happens, and leaves no trace of itself', async () => {
    const ran = await runScript(
      'embedded.mjs',
      `import { createServer, request } from 'node:http'
import { once } from 'node:events'
import { createGateway } from 'sallyport'

const EVENTS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'uncaughtException', 'unhandledRejection', 'exit', 'warning']
const traces = () => JSON.stringify([EVENTS.map((name) => process.listenerCount(name)), process.exitCode, Object.keys(globalThis)])
const before = traces()

const origin = createServer((_req, res) => res.end('ok')).listen(0, '127.0.0.1')
await once(origin, 'listening')
const rules = (hosts) => ({
  rules: [{ name: 'r', hosts, ports: [80] }],
  destinations: { pin: Object.fromEntries(['one.test', 'two.test'].map((host) => [host, '127.0.0.1:' + origin.address().port])) },
})
const get = (port, host) => new Promise((resolve, reject) => {
  request({ host: '127.0.0.1', port, path: 'http://' + host + '/', agent: false }, (res) => {
    res.resume()
    res.on('end', () => resolve(res.statusCode))
  }).on('error', reject).end()
})

const seen = []
const make = async (name, hosts) => {
  const gateway = await createGateway({ config: rules(hosts) })
  for (const event of ['listening', 'decision', 'denied', 'tunnelEnd', 'reload'])
    gateway.on(event, (what) => seen.push([name, event, what.host ?? what.outcome ?? '']))
  gateway.on('decision', () => { throw new Error('a listener of the program') })
  return gateway
}
const one = await make('one', ['one.test'])
const two = await make('two', ['two.test'])
const { proxy: a } = await one.start()
const { proxy: b } = await two.start()
const statuses = [await get(a.port, 'one.test'), await get(a.port, 'two.test'), await get(b.port, 'one.test'), await get(b.port, 'two.test')]
const report = await one.reload(rules(['two.test']))
statuses.push(await get(a.port, 'one.test'), await get(a.port, 'two.test'))
const bad = await one.reload({ rules: [{ name: 'r', hosts: ['a/b'] }] })
statuses.push(await get(a.port, 'two.test'))
const text = await two.metrics()
await one.drain()
await two.stop()
origin.close()
const left = traces() === before
console.log(JSON.stringify({ statuses, seen, left, outcomes: [report.outcome, bad.outcome], problems: bad.problems,
  ofProcess: /^process_|^nodejs_/m.test(text), requests: /sallyport_requests_total\\{.*verdict="allow".*\\} 1/.test(text) }))
`,
    )
    expect(ran.stderr).toBe('')
    expect(ran.code).toBe(0)
    expect(JSON.parse(ran.stdout)).toEqual({
      statuses: [200, 403, 403, 200, 403, 200, 200],
      left: true,
      outcomes: ['loaded', 'failed'],
      problems: [expect.stringContaining('a/b')],
      ofProcess: false,
      requests: true,
      seen: [
        ['one', 'listening', ''],
        ['two', 'listening', ''],
        ['one', 'decision', 'one.test'],
        ['one', 'decision', 'two.test'],
        ['one', 'denied', 'two.test'],
        ['two', 'decision', 'one.test'],
        ['two', 'denied', 'one.test'],
        ['two', 'decision', 'two.test'],
        ['one', 'reload', 'loaded'],
        ['one', 'decision', 'one.test'],
        ['one', 'denied', 'one.test'],
        ['one', 'decision', 'two.test'],
        ['one', 'reload', 'failed'],
        ['one', 'decision', 'two.test'],
      ],
    })
  })

  it('writes the audit log to standard output, and a log, only where it is asked to', async () => {
    const ran = await runScript(
      'asked.mjs',
      `import { get } from 'node:http'
import { createGateway } from 'sallyport'
const lines = []
const gateway = await createGateway({ config: {}, stdout: true, log: (line) => lines.push(line.msg) })
gateway.on('decision', () => { throw new Error('mine') })
const { proxy } = await gateway.start()
await new Promise((resolve) => get({ host: '127.0.0.1', port: proxy.port, path: 'http://no.test/', agent: false }, (res) => res.resume().on('end', resolve)))
await gateway.stop()
process.stderr.write(JSON.stringify(lines))
`,
    )
    expect(JSON.parse(ran.stdout)).toMatchObject({ event: 'deny', host: 'no.test', reason: 'host_not_listed' })
    expect(JSON.parse(ran.stderr)).toEqual(['a listener threw'])
  })

  it('runs hooks, and a config file', async () => {
    write(
      'hook.ts',
      "import { defineHook } from 'sallyport'\nexport default defineHook({ onRequest: () => ({ verdict: 'deny', message: 'closed' }) })\n",
    )
    write(
      'gateway.yaml',
      'listen: { proxy: "127.0.0.1:0", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }\nhooks: { files: [hook.ts], timeoutMs: 5000 }\n',
    )
    const ran = await runScript(
      'file.mjs',
      `import { get } from 'node:http'
import { createGateway } from 'sallyport'
const gateway = await createGateway({ config: 'gateway.yaml' })
gateway.on('denied', ({ host, hint }) => console.log(host, hint))
const { proxy } = await gateway.start()
await new Promise((resolve) => get({ host: '127.0.0.1', port: proxy.port, path: 'http://pypi.org/', agent: false }, (res) => res.resume().on('end', resolve)))
try { await gateway.reload({}) } catch (error) { console.log(error.message) }
await gateway.stop()
`,
    )
    expect(ran.stderr).toBe('')
    expect(ran.stdout.split('\n')).toEqual([
      'pypi.org the hook `hook.ts` says: `closed`',
      'this gateway was made from a file, which it loads again; it takes no other config',
      '',
    ])
  })

  it('says everything that is wrong with a config', async () => {
    const ran = await runScript(
      'wrong.mjs',
      `import { ConfigError, createGateway } from 'sallyport'
try { await createGateway({ config: { mode: 'enforced', rules: [{ name: 'r', hosts: ['a/b'] }] } }) }
catch (error) { console.log(error instanceof ConfigError, JSON.stringify(error.problems)) }
`,
    )
    expect(ran.stdout).toMatch(/^true \["config: .*enforced.*","config: .*a\/b.*"\]\n$/)
  })
})

const DECIDES = `import { decide, definePolicy, parseAuthority } from 'sallyport/core'
const defined = definePolicy({ rules: [
  { name: 'git', hosts: ['git.example.com'] },
  { name: 'models', hosts: ['raw.example.com'], paths: ['/team/*/models/*'] },
] })
if (!defined.ok) throw new Error(JSON.stringify(defined.error))
const verdict = (text: string, http?: { method: string; path: string }): string => {
  const asked = parseAuthority(text)
  if (!asked.ok) return asked.error
  const decision = decide(defined.value.policy, http === undefined ? asked.value : { ...asked.value, http })
  return decision.verdict === 'deny' ? decision.reason : decision.verdict + ' ' + decision.entry.id
}
export const verdicts: readonly string[] = [
  verdict('git.example.com:443'),
  verdict('git.example.com:22'),
  verdict('evil.example.com:443'),
  verdict('raw.example.com:443'),
  verdict('raw.example.com:443', { method: 'GET', path: '/team/a/models/x' }),
  verdict('raw.example.com:443', { method: 'GET', path: '/team/a/b/models/x' }),
  verdict('0177.0.0.1:443'),
]
`
const VERDICTS = [
  'allow rule/git',
  'port_not_listed',
  'host_not_listed',
  'inspect rule/models',
  'allow rule/models',
  'path_not_listed',
  expect.stringContaining('0177.0.0.1'),
]

describe('sallyport/core', () => {
  it('decides in a browser: one bundle, without a module of Node and without a global of Node', async () => {
    const entry = write('browser.ts', DECIDES)
    const { outputFiles, metafile } = await build({
      entryPoints: [entry],
      bundle: true,
      write: false,
      metafile: true,
      platform: 'browser',
      format: 'iife',
      globalName: 'bundled',
      logLevel: 'silent',
    })
    const imported = Object.values(metafile.inputs).flatMap(({ imports }) => imports.map(({ path }) => path))
    expect(imported.filter((path) => isBuiltin(path))).toEqual([])
    // Only what a browser has, and of that nothing that acts.
    const page = createContext({ URL, TextEncoder, TextDecoder })
    const code = outputFiles[0]?.text ?? ''
    expect(runInContext(`${code}; bundled.verdicts`, page)).toEqual(VERDICTS)
    for (const global of ['process', 'Buffer', 'require', 'setTimeout'])
      expect(runInContext(`typeof ${global}`, page)).toBe('undefined')
  })

  it('decides in Node, with the documented hosts as data', async () => {
    const ran = await runScript(
      'core.mjs',
      `import { readCatalogue } from 'sallyport'
import { decide, definePolicy, parseAuthority } from 'sallyport/core'
const catalogue = JSON.parse(JSON.stringify(await readCatalogue()))
const { value: { policy } } = definePolicy({ features: { vscode: false } }, catalogue)
const verdict = (text) => decide(policy, parseAuthority(text).value).verdict
console.log(verdict('pypi.org:443'), verdict('pypi.org.evil.test:443'), verdict('update.code.visualstudio.com:443'))
console.log(JSON.stringify(definePolicy({ features: { pythn: true } }, catalogue).error.map(({ path, message }) => [path, message])))
`,
    )
    expect(ran.stderr).toBe('')
    expect(ran.stdout.split('\n')).toEqual([
      'allow deny deny',
      '[[["features","pythn"],"unknown feature `pythn`; did you mean `python`?"]]',
      '',
    ])
  })
})

describe('the types', () => {
  const CONSUMER = `import { createGateway, defineHook, ConfigError, type AuditEvent, type HookRequest } from 'sallyport'
${DECIDES}
export default defineHook({
  onRequest(request: HookRequest) {
    return request.headers['x-ticket'] === undefined ? { verdict: 'deny', message: 'no ticket' } : { verdict: 'pass', cacheSeconds: 60 }
  },
  async onDenied(event) {
    const host: string | undefined = event.host
    await Promise.resolve(host)
  },
})
export async function embed(): Promise<number> {
  const gateway = await createGateway({ config: { mode: 'report', listen: { proxy: '127.0.0.1:0' }, clients: { allow: ['10.0.0.0/8'] } } })
  const off: () => void = gateway.on('denied', (event: AuditEvent) => void event.reason)
  off()
  const { proxy } = await gateway.start()
  return proxy.port
}
export const isOurs = (error: unknown): boolean => error instanceof ConfigError
// @ts-expect-error there is no such mode
export const wrong = () => createGateway({ config: { mode: 'enforced' } })
// @ts-expect-error there is no such verdict
export const bad = defineHook({ onRequest: () => ({ verdict: 'maybe' }) })
// @ts-expect-error a hook has to answer
export const silent = defineHook({ onRequest: () => undefined })
`
  for (const [module, moduleResolution] of [
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ] as const)
    it(`compile in a strict program with \`moduleResolution: ${moduleResolution}\``, async () => {
      write('consumer.ts', CONSUMER)
      const config = write(
        `tsconfig.${moduleResolution}.json`,
        JSON.stringify({
          compilerOptions: {
            target: 'es2022',
            lib: ['es2022'],
            module,
            moduleResolution,
            strict: true,
            exactOptionalPropertyTypes: true,
            noEmit: true,
            skipLibCheck: false,
            types: ['node'],
            typeRoots: [join(ROOT, 'node_modules', '@types')],
          },
          files: ['consumer.ts'],
        }),
      )
      const ran = await run(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', config], {
        cwd: folder,
      })
      expect(ran.stdout).toBe('')
      expect(ran.code).toBe(0)
    }, 120_000)
})

it('the package is put together as package managers and bundlers expect', async () => {
  const { messages, pkg } = await publint({ pkgDir: ROOT, strict: true, pack: false })
  expect(messages.map((message) => formatMessage(message, pkg ?? {}))).toEqual([])
})
