import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HttpOrigin } from '../support/http-origin.ts'
import { startProgram } from '../support/program-under-test.ts'
import { exchangeRaw } from '../support/raw-client.ts'
import { type Ran, run } from '../support/run.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** What a packed file may be, and what it is for. Whatever matches nothing here has no business in the package. */
const MAY_BE: readonly (readonly [pattern: RegExp, purpose: string])[] = [
  [/^package\.json$/, 'npm'],
  [/^(README|CHANGELOG|SECURITY|LICENSE)(\.md)?$/, 'people'],
  [/^dist\/(?!cli\/generate\.)([a-z0-9-]+\/)*[a-z0-9-]+\.js$/, 'the program'],
  [/^dist\/(?!cli\/generate\.)([a-z0-9-]+\/)*[a-z0-9-]+\.d\.ts$/, 'the library'],
  [/^config\/gateway\.yaml$/, 'the config it runs with as it stands'],
  [/^config\/hints\.yaml$/, 'the known destinations'],
  [/^config\/shared-suffixes\.yaml$/, 'the suffixes that many customers share'],
  [/^config\/azure\/[a-z-]+\.yaml$/, 'regions and service tags'],
  [/^config\/catalogue\/\d{4}-\d\d-\d\d\/[a-z-]+\.yaml$/, 'the documented hosts'],
  [/^config\/[a-z-]+\.schema\.json$/, 'editors and log pipelines'],
  [/^native\/([a-z0-9_]+\.[ch]|build\.mjs|index\.d\.ts)$/, 'the kernel relay, built at install'],
]

/** What it cannot do without. */
const MUST_BE = [
  'package.json',
  'README.md',
  'dist/main.js',
  'dist/gateway.js',
  'config/gateway.yaml',
  'config/hints.yaml',
  'config/catalogue/2021-07-29/edition.yaml',
  'config/catalogue/2021-07-29/hosts.yaml',
  'native/build.mjs',
  'native/addon.c',
  'native/relay.h',
] as const

/** Made of several sources, for browsers. */
const MADE_BY_THE_BUILD = ['dist/core-browser.js']

interface Packed {
  readonly filename: string
  readonly files: readonly { readonly path: string; readonly mode: number }[]
}

describe('the package', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-package-'))
  const app = join(folder, 'app')
  const bin = join(app, 'node_modules', '.bin', 'sallyport')
  let packed: Packed

  beforeAll(async () => {
    // Without scripts: `prepack` builds afresh, and other tests run what is in `dist` meanwhile.
    const { stdout } = await npm(ROOT, 'pack', '--ignore-scripts', '--json', '--pack-destination', folder)
    packed = JSON.parse(stdout)[0]
    mkdirSync(app)
    writeFileSync(join(app, 'package.json'), '{ "private": true }\n')
    // `npm ci` has put everything that this needs into npm's cache.
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--no-update-notifier']
    await npm(app, 'install', ...quiet, join(folder, packed.filename))
  }, 120_000)

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('holds what is needed to run', () => {
    const paths = packed.files.map(({ path }) => path)
    expect(MUST_BE.filter((path) => !paths.includes(path))).toEqual([])
  })

  it('holds no more than that', () => {
    const paths = packed.files.map(({ path }) => path)
    expect(paths.filter((path) => !MAY_BE.some(([pattern]) => pattern.test(path)))).toEqual([])
  })

  it('holds every file that the program consists of, and no test', () => {
    const built = packed.files.map(({ path }) => path).filter((path) => path.endsWith('.js') && !MADE_BY_THE_BUILD.includes(path))
    for (const path of built)
      expect(existsSync(join(ROOT, path.replace(/^dist/, 'src').replace(/\.js$/, '.ts'))), path).toBe(true)
  })

  it('installs without its development dependencies', () => {
    const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, object>
    const installed = Object.keys(devDependencies ?? {}).filter((name) => existsSync(join(app, 'node_modules', name)))
    expect(installed).toEqual([])
  })

  it('says its version, and lists the documented hosts that came with it', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
    expect((await run(bin, ['--version'], { cwd: app })).stdout.trim()).toBe(version)
    const { code, stdout } = await run(bin, ['entries', '--json'], { cwd: app })
    expect(code).toBe(0)
    expect(JSON.parse(stdout).map(({ id }: { id: string }) => id)).toContain('2021-07-29/python/pypi.org')
  })

  it('serves from where it is installed', async () => {
    const origin = await HttpOrigin.start((_req, res) => res.end('through the installed package'))
    const gateway = await startProgram(`destinations: { pin: { cloud.r-project.org: "127.0.0.1:${origin.port}" } }`, {
      main: bin,
    })
    try {
      const get = (host: string) => `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
      expect(await exchangeRaw(gateway.port('proxy'), get('cloud.r-project.org'))).toContain('through the installed package')
      expect(await exchangeRaw(gateway.port('proxy'), get('shop.example'))).toMatch(/^HTTP\/1\.1 403 host_not_listed\r\n/)
      await gateway.audit({ event: 'allow', host: 'cloud.r-project.org' })
      expect((await gateway.ask('metrics', '/readyz')).status).toBe(200)
      // Where there is a compiler, installing has built it; in CI there must be one.
      if (process.env['CI'])
        expect(await (await gateway.ask('admin', '/api/v1/status')).json()).toMatchObject({ relay: 'kernel' })
      gateway.signal('SIGTERM')
      expect(await gateway.exited).toEqual({ code: 0, signal: null })
    } finally {
      await gateway.stop()
      await origin.stop()
    }
  })
})

/** npm with the settings of whoever runs the tests: it is they who know where packages come from. */
async function npm(cwd: string, ...args: string[]): Promise<Ran> {
  const inherited = Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
  const ran = await run('npm', args, { cwd, env: Object.fromEntries(inherited), deadlineMs: 100_000 })
  if (ran.code !== 0) throw new Error(`npm ${args.join(' ')}: ${ran.stderr}`)
  return ran
}
