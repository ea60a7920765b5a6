import { readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

/** A part of the program: its files, what they may import, and the reason, which is what a failure says. */
interface Part {
  readonly files: RegExp
  readonly mayUse: readonly string[]
  /** Parts whose types may be named, which leaves nothing at run time. */
  readonly mayName?: readonly string[]
  readonly why: string
}

const PARTS: Readonly<Record<string, Part>> = {
  base: {
    files: /^src\/core\/(result|schema|problem|grouped|day)\.ts$/,
    mayUse: [],
    why: 'everything stands on it, so it stands on nothing',
  },
  names: {
    files: /^src\/core\/names\//,
    mayUse: ['base'],
    why: 'a name or an address means the same whatever the policy',
  },
  azure: {
    files: /^src\/core\/azure\/(facts|routes|tag-[a-z]+|route-[a-z]+)\.ts$/,
    mayUse: ['base', 'names'],
    mayName: ['policy'],
    why: 'what Azure publishes of itself, its tags and regions, is read without knowing what a policy makes of it',
  },
  policy: {
    files: /^src\/core\/policy\//,
    mayUse: ['base', 'names', 'azure'],
    mayName: ['settings', 'wire'],
    why: 'a decision must be reproducible from the policy and the request alone',
  },
  settings: {
    files: /^src\/core\/(config\/[a-z-]+|config|listen-address|audit-event|audit-record)\.ts$/,
    mayUse: ['base', 'names', 'policy'],
    why: 'the config and the audit event are schemas over the words of the core',
  },
  subnet: {
    files: /^src\/core\/subnet\//,
    mayUse: ['base', 'names', 'policy', 'settings'],
    why: 'the rules of a host are the same text for the same config, whoever applies them',
  },
  export: {
    files: /^src\/core\/export\//,
    mayUse: ['base', 'names', 'policy'],
    why: 'what other firewalls are told is the policy in their words, the same bytes for the same policy',
  },
  import: {
    files: /^src\/core\/import\//,
    mayUse: ['base', 'names', 'policy', 'settings'],
    why: "what another proxy's file says becomes rules in the words of the config, and nothing else",
  },
  azureAnswers: {
    files: /^src\/core\/azure\/[a-z]+-file\.ts$(?<!tag-file\.ts)/,
    mayUse: ['base', 'names', 'policy'],
    why: 'what Azure prints is read here and nowhere else',
  },
  wire: {
    files: /^src\/core\/wire\//,
    mayUse: ['base', 'names', 'policy'],
    why: 'what bytes mean must not depend on who sends or receives them',
  },
  shares: {
    files: /^src\/core\/shares\//,
    mayUse: ['base'],
    why: 'who gets how much of a limit is arithmetic, and has to come out whatever the processes do',
  },
  listen: {
    files: /^src\/io\/listen\.ts$/,
    mayUse: ['base', 'names', 'settings'],
    why: 'every server is bound in the same way, whatever it serves',
  },
  reads: {
    files: /^src\/io\/file-reads\.ts$/,
    mayUse: [],
    why: 'what a file said is remembered and said again without knowing what it means',
  },
  hookRules: {
    files: /^src\/core\/hooks\//,
    mayUse: ['base', 'policy'],
    mayName: ['wire'],
    why: 'what a hook may change is settled by its answer and the decision alone, whoever asked it',
  },
  hookApi: {
    files: /^src\/define-hook\.ts$/,
    mayUse: [],
    mayName: ['settings', 'policy'],
    why: 'it is bundled into every hook, so it brings nothing along',
  },
  hooks: {
    files: /^src\/io\/hooks\//,
    mayUse: ['base', 'settings', 'hookRules', 'lru', 'telemetry'],
    why: 'code of the operator runs in a process that knows of no request but the one it is asked about',
  },
  lru: { files: /^src\/io\/lru\.ts$/, mayUse: [], why: 'it names a library and nothing else' },
  credentials: {
    files: /^src\/io\/credentials\//,
    mayUse: ['base', 'settings', 'lru'],
    mayName: ['tls'],
    why: 'a password is looked at in one way, by whoever stores it and by whoever is shown it',
  },
  configFiles: {
    files: /^src\/io\/config\//,
    mayUse: ['base', 'names', 'azure', 'policy', 'settings', 'subnet', 'wire', 'lru', 'reads', 'tls', 'hooks'],
    mayName: ['credentials'],
    why: 'a config and the CA it names must be readable without a gateway to run them, as `check` and `explain` do',
  },
  telemetry: {
    files: /^src\/io\/telemetry\//,
    mayUse: ['base', 'names', 'policy', 'settings', 'lru'],
    why: 'log and metrics are told what happened and ask nobody',
  },
  relay: {
    files: /^src\/io\/relay\//,
    mayUse: ['base', 'names', 'settings', 'lru'],
    mayName: ['native'],
    why: 'bytes are relayed after every decision, without knowing any',
  },
  native: {
    files: /^native\/index\.d\.ts$/,
    mayUse: [],
    why: 'what is in C has one boundary, and that is types',
  },
  tls: {
    files: /^src\/io\/tls\//,
    mayUse: ['base', 'names', 'policy', 'settings', 'wire', 'lru', 'reads'],
    why: 'certificates are made for whoever asks, policy first',
  },
  proxy: {
    files: /^src\/io\/proxy\//,
    mayUse: [
      'base',
      'names',
      'policy',
      'settings',
      'wire',
      'lru',
      'shares',
      'listen',
      'relay',
      'telemetry',
      'tls',
      'credentials',
      'hookRules',
      'hooks',
    ],
    why: 'the proxy acts on what the core decides and is put together in gateway.ts',
  },
  hostRules: {
    files: /^src\/io\/subnet\//,
    mayUse: ['base', 'names', 'policy', 'settings', 'subnet', 'lru', 'telemetry', 'proxy'],
    why: 'what the kernel is told and what it tells goes through here, and carries no request; names are looked up as for requests',
  },
  admin: {
    files: /^src\/io\/admin\//,
    mayUse: ['base', 'names', 'policy', 'settings', 'wire', 'lru', 'listen'],
    mayName: ['proxy', 'telemetry'],
    why: 'it shows what it is given, so that it can never change what it shows',
  },
  gateway: {
    files: /^src\/(gateway|gate|ending|settings-in-force|version)\.ts$/,
    mayUse: [
      'base',
      'names',
      'policy',
      'settings',
      'wire',
      'lru',
      'reads',
      'configFiles',
      'telemetry',
      'relay',
      'tls',
      'proxy',
      'hostRules',
      'admin',
      'credentials',
      'hooks',
    ],
    why: 'the composition root knows everything but the command line',
  },
  coreLibrary: {
    files: /^src\/core\/index\.ts$/,
    mayUse: ['base', 'names', 'policy', 'settings'],
    why: 'decisions are to be had in a browser, without anything that acts',
  },
  library: {
    files: /^src\/(library\/|index\.ts$)/,
    mayUse: ['base', 'settings', 'coreLibrary', 'hookApi', 'reads', 'configFiles', 'telemetry', 'hooks', 'gateway'],
    mayName: ['names', 'policy'],
    why: 'a gateway inside another program is the same gateway, without the process round it',
  },
  workers: {
    files: /^src\/workers\//,
    mayUse: [
      'base',
      'policy',
      'settings',
      'shares',
      'lru',
      'reads',
      'configFiles',
      'telemetry',
      'relay',
      'proxy',
      'hostRules',
      'admin',
      'gateway',
    ],
    why: 'a gateway of several processes is put together from the same parts as one, and those know nothing of it',
  },
  doctor: {
    files: /^src\/io\/doctor\//,
    mayUse: ['base', 'names', 'policy', 'settings', 'wire', 'lru', 'telemetry', 'tls', 'relay', 'listen', 'proxy'],
    why: 'it goes the way that requests go, and needs no gateway that runs',
  },
  cli: {
    files: /^src\/(cli\/|main\.ts$)/,
    mayUse: [
      'base',
      'names',
      'azure',
      'policy',
      'export',
      'import',
      'azureAnswers',
      'settings',
      'wire',
      'lru',
      'configFiles',
      'telemetry',
      'tls',
      'reads',
      'gateway',
      'workers',
      'doctor',
      'credentials',
      'subnet',
      'hostRules',
    ],
    why: 'a command asks the gateway as a whole and reaches into none of its listeners',
  },
}

interface Import {
  /** As written: `../result.ts`, `node:net`, `zod`. */
  readonly name: string
  readonly typeOnly: boolean
}

interface Source {
  readonly path: string
  readonly imports: readonly Import[]
  /** Names that are looked up outside the file, `Math.random` and `import.meta` among them. */
  readonly globals: ReadonlySet<string>
}

function parseSource(path: string, text: string): Source {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const imports: Import[] = []
  const globals = new Set<string>()
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) imports.push({ name: textOf(node.moduleSpecifier), typeOnly: isTypeOnly(node) })
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined)
      imports.push({ name: textOf(node.moduleSpecifier), typeOnly: node.isTypeOnly })
    else if (ts.isCallExpression(node) && isLoad(node)) {
      const [loaded] = node.arguments
      if (loaded !== undefined && ts.isStringLiteralLike(loaded)) imports.push({ name: loaded.text, typeOnly: false })
      else globals.add('import()')
    }
    if (ts.isMetaProperty(node)) globals.add('import.meta')
    if (ts.isPropertyAccessExpression(node) && node.getText(file) === 'Math.random') globals.add('Math.random')
    if (ts.isIdentifier(node) && isFree(node)) globals.add(node.text)
    ts.forEachChild(node, visit)
  }
  visit(file)
  return { path, imports, globals }
}

/** `import()`, `require()` and `createRequire(...)()`. */
function isLoad({ expression }: ts.CallExpression): boolean {
  const madeHere = ts.isCallExpression(expression) && expression.expression.getText() === 'createRequire'
  return madeHere || expression.kind === ts.SyntaxKind.ImportKeyword || expression.getText() === 'require'
}

function isTypeOnly({ importClause }: ts.ImportDeclaration): boolean {
  if (importClause === undefined) return false
  if (importClause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true
  const { name, namedBindings } = importClause
  if (name !== undefined || namedBindings === undefined || ts.isNamespaceImport(namedBindings)) return false
  return namedBindings.elements.every((element) => element.isTypeOnly)
}

/** Not the name of a property, which may be called `process` without being it. */
function isFree(node: ts.Identifier): boolean {
  const { parent } = node
  return !('name' in parent && parent.name === node) && !(ts.isBindingElement(parent) && parent.propertyName === node)
}

const textOf = (node: ts.Node): string => (ts.isStringLiteralLike(node) ? node.text : node.getText())

const partOf = (path: string): string | undefined => Object.keys(PARTS).find((name) => PARTS[name]?.files.test(path))

const FORBIDDEN_IN_CORE: Readonly<Record<string, string>> = {
  Date: 'time is handed in by whoever has a clock',
  performance: 'time is handed in by whoever has a clock',
  setTimeout: 'the core never waits',
  setInterval: 'the core never waits',
  setImmediate: 'the core never waits',
  queueMicrotask: 'the core never waits',
  Promise: 'the core never waits',
  'Math.random': 'equal requests get equal decisions',
  crypto: 'equal requests get equal decisions',
  process: 'the environment is no part of a policy',
  'import.meta': 'the environment is no part of a policy',
  globalThis: 'the environment is no part of a policy',
  Buffer: 'bytes are Uint8Array, which is not Node alone',
  console: 'the core says nothing, it returns',
  fetch: 'the core never acts',
  'import()': 'the core loads nothing by itself',
  require: 'the core loads nothing by itself',
  eval: 'text is parsed, never run',
  Function: 'text is parsed, never run',
}

/** Everything that is wrong with the file, each as a sentence that says why. */
function violations({ path, imports, globals }: Source): readonly string[] {
  const name = partOf(path)
  const part = name === undefined ? undefined : PARTS[name]
  if (name === undefined || part === undefined)
    return [`${path} is in no part of the program: a new folder needs a stated reason, in test/core/architecture.test.ts`]
  const isCore = path.startsWith('src/core/')
  const wrongImports = imports.flatMap((one) => {
    if (!one.name.startsWith('.')) return isCore && isBuiltin(one.name) ? [`${path} imports ${one.name}: ${part.why}`] : []
    const target = posix.join(posix.dirname(path), one.name)
    const used = partOf(target)
    if (used === undefined) return [`${path} imports ${target}, which is in no part of the program: ${part.why}`]
    if (used === name || part.mayUse.includes(used) || (one.typeOnly && part.mayName?.includes(used))) return []
    return [`${path} imports ${target}: ${part.why}`]
  })
  const wrongGlobals = isCore
    ? Object.entries(FORBIDDEN_IN_CORE)
        .filter(([global]) => globals.has(global))
        .map(([global, why]) => `${path} uses ${global}: ${why}`)
    : []
  return [...wrongImports, ...wrongGlobals]
}

const ROOT = new URL('../../', import.meta.url)
const sources: readonly Source[] = readdirSync(new URL('src/', ROOT), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => parseSource(`src/${path}`, readFileSync(new URL(`src/${path}`, ROOT), 'utf8')))

describe('the architecture', () => {
  it('has sources to look at', () => expect(sources.length).toBeGreaterThan(50))

  for (const source of sources)
    it(`holds in ${source.path}`, () => {
      expect(violations(source)).toEqual([])
    })

  it('has no circle of parts', () => {
    const reach = (name: string, seen: readonly string[]): readonly string[] =>
      seen.includes(name) ? [...seen, name] : (PARTS[name]?.mayUse.flatMap((used) => reach(used, [...seen, name])) ?? [])
    for (const name of Object.keys(PARTS)) expect(reach(name, [])).toEqual([])
  })
})

describe('each runtime dependency', () => {
  const { dependencies } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as {
    dependencies: Record<string, string>
  }
  const importersOf = (dependency: string): readonly string[] =>
    sources
      .filter(({ imports }) => imports.some(({ name }) => name === dependency || name.startsWith(`${dependency}/`)))
      .map(({ path }) => path)

  for (const dependency of Object.keys(dependencies))
    it(`${dependency} is imported in one file, so that it can be replaced there`, () => {
      expect(importersOf(dependency)).toEqual([expect.any(String)])
    })

  it('is declared', () => {
    const packages = sources.flatMap(({ imports }) => imports.map(({ name }) => name)).filter((name) => !/^[./]/.test(name))
    const undeclared = packages.filter(
      (name) => !isBuiltin(name) && !Object.keys(dependencies).some((one) => name.startsWith(one)),
    )
    expect(undeclared).toEqual([])
  })
})

describe('a violation', () => {
  const CASES: readonly (readonly [path: string, text: string, expected: readonly string[]])[] = [
    [
      'src/core/policy/decide.ts',
      "import { isIP } from 'node:net'",
      ['src/core/policy/decide.ts imports node:net: a decision must be reproducible from the policy and the request alone'],
    ],
    [
      'src/core/policy/decide.ts',
      "import { dial } from '../../io/proxy/dial.ts'",
      [
        'src/core/policy/decide.ts imports src/io/proxy/dial.ts: a decision must be reproducible from the policy and the request alone',
      ],
    ],
    ['src/core/policy/decide.ts', "import type { Config } from '../config.ts'", []],
    [
      'src/core/policy/decide.ts',
      "import { configSchema, type Config } from '../config.ts'",
      [
        'src/core/policy/decide.ts imports src/core/config.ts: a decision must be reproducible from the policy and the request alone',
      ],
    ],
    [
      'src/core/names/ip.ts',
      "export { decide } from '../policy/decide.ts'",
      ['src/core/names/ip.ts imports src/core/policy/decide.ts: a name or an address means the same whatever the policy'],
    ],
    [
      'src/core/wire/fields.ts',
      "const a = await import('fs')",
      ['src/core/wire/fields.ts imports fs: what bytes mean must not depend on who sends or receives them'],
    ],
    [
      'src/core/wire/fields.ts',
      'const now = Date.now()',
      ['src/core/wire/fields.ts uses Date: time is handed in by whoever has a clock'],
    ],
    [
      'src/core/wire/fields.ts',
      'const x = Math.random()',
      ['src/core/wire/fields.ts uses Math.random: equal requests get equal decisions'],
    ],
    ['src/core/wire/fields.ts', 'const x = Math.max(1, 2) // Date, process', []],
    ['src/core/wire/fields.ts', 'const x = { process: 1 }.process', []],
    [
      'src/core/wire/fields.ts',
      "const x = process['env'], y = globalThis.setTimeout",
      [
        'src/core/wire/fields.ts uses process: the environment is no part of a policy',
        'src/core/wire/fields.ts uses globalThis: the environment is no part of a policy',
      ],
    ],
    [
      'src/io/relay/stream-relay.ts',
      "import { decide } from '../../core/policy/decide.ts'",
      [
        'src/io/relay/stream-relay.ts imports src/core/policy/decide.ts: bytes are relayed after every decision, without knowing any',
      ],
    ],
    [
      'src/cli/check.ts',
      "import { Tunnels } from '../io/proxy/tunnels.ts'",
      [
        'src/cli/check.ts imports src/io/proxy/tunnels.ts: a command asks the gateway as a whole and reaches into none of its listeners',
      ],
    ],
    [
      'src/utils/misc.ts',
      '',
      ['src/utils/misc.ts is in no part of the program: a new folder needs a stated reason, in test/core/architecture.test.ts'],
    ],
  ]
  for (const [path, text, expected] of CASES)
    it(`${expected.length === 0 ? 'is not seen in' : 'explains itself:'} ${path}: ${text}`, () => {
      expect(violations(parseSource(path, text))).toEqual(expected)
    })
})
