import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { execForm, type Instruction, parseDockerfile, type Stage } from '../support/dockerfile.ts'
import { freePort } from '../support/free-port.ts'
import { waitFor } from '../support/gateway.ts'
import { ROOT } from '../support/helm.ts'
import { findProgram, requireProgram } from '../support/program.ts'
import { bareEnvironment, run } from '../support/run.ts'

/**
 * There is no container engine here, so the image was never built. What can be known without one is: the file is linted, the commands
 * of its build stage are run in a clean copy of what `.dockerignore` lets in, and what its last stage copies is run as it says.
 */

const { args, stages } = parseDockerfile(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'))
const [build, runtime] = stages
if (build === undefined || runtime === undefined) throw new Error('the Dockerfile has no two stages')
const last: Stage = runtime
const one = (instructions: readonly Instruction[], name: string): string => {
  const found = instructions.filter((instruction) => instruction.name === name)
  expect(found, name).toHaveLength(1)
  return found[0]?.text ?? ''
}

/** Patterns in their order, the last that matches wins; `*` does not cross a `/`, `**` does. */
const ignored = (() => {
  const patterns = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ keep: line.startsWith('!'), pattern: toRegExp(line.replace(/^!/, '')) }))
  return (path: string): boolean => patterns.reduce((out, { keep, pattern }) => (pattern.test(path) ? !keep : out), false)
})()

/** Docker's pattern matches a path and everything under it. */
function toRegExp(pattern: string): RegExp {
  const body = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*\*\//g, '\u0000')
    .replace(/\*/g, '[^/]*')
    .replaceAll('\u0000', '(?:.*/)?')
  return new RegExp(`^${body}(?:/|$)`)
}

describe('the Dockerfile', () => {
  const all = stages.flatMap(({ instructions }) => instructions)

  it('is built from official Node 24 images, each a build argument that takes a digest instead', () => {
    expect(args).toMatchObject({ BUILD_IMAGE: 'node:24-bookworm', RUNTIME_IMAGE: 'node:24-bookworm-slim' })
    expect(stages.map(({ image }) => image)).toEqual([args['BUILD_IMAGE'], args['RUNTIME_IMAGE']])
  })

  it('needs no shell at run time: exec forms, and not one RUN in the last stage', () => {
    expect(execForm(one(runtime.instructions, 'ENTRYPOINT'))).toEqual(['node', '/app/dist/main.js'])
    expect(execForm(one(runtime.instructions, 'CMD'))).toEqual(['serve', '--config', '/etc/sallyport/gateway.yaml'])
    expect(execForm(one(runtime.instructions, 'HEALTHCHECK'))).toEqual([
      'node',
      '/app/dist/main.js',
      'health',
      '--config',
      '/etc/sallyport/gateway.yaml',
    ])
    expect(runtime.instructions.filter(({ name }) => name === 'RUN')).toEqual([])
  })

  it('runs as a number that is not root, the one the chart runs it as', () => {
    expect(one(runtime.instructions, 'USER')).toBe('1000:1000')
    expect(readFileSync(join(ROOT, 'helm/values.yaml'), 'utf8')).toContain('\nrunAsUser: 1000\n')
  })

  it('is told to stop with the signal that the gateway drains on', () => {
    expect(one(runtime.instructions, 'STOPSIGNAL')).toBe('SIGTERM')
  })

  it('labels the image as the Open Container Initiative names it, with the version of the program', () => {
    const labels = one(runtime.instructions, 'LABEL')
    for (const name of ['title', 'description', 'version', 'revision', 'base.name'])
      expect(labels).toContain(`org.opencontainers.image.${name}=`)
    expect(args['VERSION']).toBe(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version)
  })

  it('has none of the usual faults', () => {
    expect(all.filter(({ name }) => name === 'ADD' || name === 'MAINTAINER')).toEqual([])
    expect(all.filter(({ text }) => /curl|wget|sudo|chmod 777|\bnpm install\b|:latest/.test(text))).toEqual([])
    const secrets = all.filter(({ name, text }) => ['ARG', 'ENV'].includes(name) && /token|secret|password|key/i.test(text))
    expect(secrets).toEqual([])
    for (const { name, text, line } of all) {
      if (name === 'WORKDIR') expect(text, `line ${line}`).toMatch(/^\//)
      if (name === 'COPY') expect(text.split(/\s+/), `line ${line}`).not.toContain('.')
      if (name === 'RUN' && text.includes('npm ')) expect(text, `line ${line}`).toMatch(/ci --ignore-scripts|prune|run build/)
    }
  })

  // Nowhere to be had for CI by apt or npm; where somebody has it, it is asked too.
  it.skipIf(findProgram('hadolint') === undefined)('passes hadolint', async () => {
    const { code, stdout } = await run('hadolint', ['Dockerfile'], { cwd: ROOT })
    expect(code, stdout).toBe(0)
  })
})

describe('.dockerignore', () => {
  const cases = [
    { path: 'src/main.ts', out: false },
    { path: 'config/gateway.yaml', out: false },
    { path: 'native/build.mjs', out: false },
    { path: 'scripts/build.mjs', out: false },
    { path: '.git/config', out: true },
    { path: 'node_modules/zod/index.js', out: true },
    { path: 'dist/main.js', out: true },
    { path: 'test/deploy/image.test.ts', out: true },
    { path: 'native/build/relay.node', out: true },
    { path: 'config/state/ca.key', out: true },
    { path: 'config/corp.pem', out: true },
    { path: '.env', out: true },
  ]
  for (const { path, out } of cases) it(`${out ? 'keeps out' : 'lets in'} ${path}`, () => expect(ignored(path)).toBe(out))
})

const compiler = requireProgram('gcc')

describe.skipIf(compiler === undefined)('the build stage, run by hand in a clean copy', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-image-'))
  const context = join(folder, 'context')
  const places = { build: join(folder, 'build'), runtime: join(folder, 'runtime') }

  beforeAll(async () => {
    copyContext(ROOT, context)
    for (const instruction of build.instructions) {
      const { name, text, line } = instruction
      if (name === 'COPY') copy(instruction, places.build)
      if (name === 'RUN') {
        // The cache of the machine that tests; the command is the Dockerfile's own.
        const env = { HOME: process.env['HOME'] ?? folder, npm_config_prefer_offline: 'true', npm_config_loglevel: 'error' }
        const { code, stdout, stderr } = await run('sh', ['-c', text], { cwd: places.build, env, deadlineMs: 170_000 })
        if (code !== 0) throw new Error(`line ${line}: ${text}\n${stdout}${stderr}`)
      }
    }
    for (const instruction of runtime.instructions) if (instruction.name === 'COPY') copy(instruction, places.runtime)
  }, 300_000)

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  function copy({ flags, text }: Instruction, workdir: string): void {
    const words = text.split(/\s+/)
    const to = words.at(-1) ?? ''
    for (const from of words.slice(0, -1)) {
      const source = flags['from'] === 'build' ? from.replace(/^\/app/, places.build) : join(context, from)
      const target = join(workdir, to.endsWith('/') ? join(to, basename(from)) : to)
      mkdirSync(join(target, '..'), { recursive: true })
      cpSync(source, target, { recursive: true })
    }
  }

  function imageCommand(instruction: 'ENTRYPOINT' | 'CMD' | 'HEALTHCHECK', config: string): string[] {
    const words = execForm(one(last.instructions, instruction)) ?? []
    return words.map((word) => word.replace(/^\/app/, places.runtime).replace('/etc/sallyport/gateway.yaml', config))
  }

  it('gives an image without development packages, sources, tests or lock', () => {
    const modules = readdirSync(join(places.runtime, 'node_modules'), { recursive: true, encoding: 'utf8' })
    const files = modules.filter((name) => /^(typescript|vitest|@biomejs|kubernetes-models|@grafana)\/.*\.\w+$/.test(name))
    expect(files).toEqual([])
    expect(modules).toContain('zod')
    expect(readdirSync(places.runtime).toSorted()).toEqual([
      'CHANGELOG.md',
      'config',
      'dist',
      'native',
      'node_modules',
      'package.json',
    ])
    expect(existsSync(join(places.runtime, 'native/build/relay.node'))).toBe(true)
  })

  it('starts with the entry point and command of the image, is healthy, and ends with 0 on its stop signal', async () => {
    const config = join(folder, 'gateway.yaml')
    const port = await freePort()
    writeFileSync(config, `listen: { proxy: "127.0.0.1:0", metrics: "127.0.0.1:${port}", admin: "127.0.0.1:0" }\n`)
    const [node = '', ...words] = [...imageCommand('ENTRYPOINT', config), ...imageCommand('CMD', config)]
    const child = spawn(node, words, {
      cwd: places.runtime,
      env: bareEnvironment({ NODE_ENV: 'production' }),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let log = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text
    })
    const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
    try {
      await waitFor(() => (log.includes('"serving"') ? true : undefined), 'the gateway to serve').catch((error) => {
        throw new Error(`${error}\n${log}`)
      })
      const [checker = '', ...question] = imageCommand('HEALTHCHECK', config)
      const health = await run(checker, question, { cwd: places.runtime })
      expect(health, health.stderr).toMatchObject({ code: 0, stdout: 'ready\n' })
      const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      expect(metrics, 'the relay that was compiled is the one in use').toMatch(/^sallyport_build_info\{.*relay="(?!portable).+"/m)
    } finally {
      child.kill(one(runtime.instructions, 'STOPSIGNAL') as NodeJS.Signals)
    }
    expect(await exited).toBe(0)
  })

  it('is unhealthy while nothing serves', async () => {
    const config = join(folder, 'other.yaml')
    writeFileSync(config, 'listen: { metrics: "127.0.0.1:1" }\n')
    const [checker = '', ...question] = imageCommand('HEALTHCHECK', config)
    expect((await run(checker, question, { cwd: places.runtime })).code).toBe(1)
  })

  function copyContext(from: string, to: string): void {
    cpSync(from, to, {
      recursive: true,
      filter: (source) => {
        const path = relative(from, source)
        if (path === '') return true
        // A folder is entered when something under it may be let in again.
        return !ignored(path) || path === 'scripts'
      },
    })
  }
})

describe('npm run sbom', () => {
  it('lists what is in the image as CycloneDX', async () => {
    const { code, stdout, stderr } = await run('npm', ['run', '--silent', 'sbom'], {
      cwd: ROOT,
      env: { HOME: process.env['HOME'] ?? '' },
    })
    expect(code, stderr).toBe(0)
    const sbom = JSON.parse(stdout)
    expect(sbom).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'sallyport' } } })
    const names = sbom.components.map(({ name }: { name: string }) => name)
    expect(names).toContain('zod')
    expect(names).not.toContain('vitest')
  })
})
