/** The results, and the table they are printed as. */
import { readFileSync, statfsSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import type { BenchCase } from './cases.js';
import type { MappingResult } from './mapping.js';
import { median, ratioOfPairs, type Ratio } from './statistics.js';
import type { TargetName } from './targets.js';
import { MKFS_GOAL_MS, MOUNT_GOAL_MS, type VolumeTimes } from './volume-times.js';

/** One line of the client's JSON. */
export interface Sample {
  readonly operations: number;
  readonly operationsPerSecond: number;
  readonly p50_us: number;
  readonly p99_us: number;
}

export type Samples = Partial<Record<TargetName, Sample[]>>;

export interface CaseResult {
  readonly bench: BenchCase;
  readonly samples: Samples;
}

export interface Method {
  readonly rounds: number;
  readonly seconds: number;
  readonly serverCore: number;
  readonly clientCore: number;
  readonly mediumDirectory: string;
  readonly nullOptions: string;
  readonly mountOptions: string;
}

const TMPFS_MAGIC = 0x01021994;

/** Lines that say what machine, medium and method the figures belong to. */
export function describeRun(method: Method): string[] {
  const processors = cpus();
  const medium = statfsSync(method.mediumDirectory).type === TMPFS_MAGIC ? 'tmpfs (domain memory)' : 'not tmpfs';
  const memory_GiB = (totalmem() / 2 ** 30).toFixed(0);
  const model = processors[0]?.model ?? (/^(?:Hardware|model name)\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown');
  return [
    `machine  ${model}, ${processors.length} cores, ${memory_GiB} GiB, Linux ${release()}, Node ${process.version}`,
    `medium   ${method.mediumDirectory}: ${medium}`,
    `method   server on core ${method.serverCore}, client on core ${method.clientCore}, queue depth 1, 256 MiB file, one client process ` +
      'unless the case says otherwise',
    `         ${method.rounds} rounds of ${method.seconds} s per case, targets in turn within a round; rates are medians of the rounds,`,
    '         ratios are medians (least–greatest) of the rounds\' own ratios',
    `options  null server: ${method.nullOptions || 'none'}; nvmfs mount -o: ${method.mountOptions || 'none'}`,
  ];
}

function rates(result: CaseResult, name: TargetName): number[] {
  return (result.samples[name] ?? []).map((sample) => sample.operationsPerSecond * result.bench.scale);
}

/** NVMFS's rate against another target's; null when one of them was not measured. */
export function ratioTo(result: CaseResult, reference: TargetName): Ratio | null {
  const own = rates(result, 'nvmfs');
  const other = rates(result, reference);
  return own.length === 0 || other.length === 0 ? null : ratioOfPairs(own, other);
}

/** Whether the goal was met; null without a goal or without the figures. */
export function goalMet(result: CaseResult): boolean | null {
  const ratio = ratioTo(result, 'null');
  return result.bench.goal === null || ratio === null ? null : ratio.median >= result.bench.goal;
}

function verdict(met: boolean | null): string {
  return met === null ? '' : met ? 'met' : 'SHORT';
}

function formatRate(values: readonly number[]): string {
  return values.length === 0 ? '-' : Math.round(median(values)).toLocaleString('en-US');
}

function formatRatio(ratio: Ratio | null): string {
  return ratio === null ? '-' : `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`;
}

function latency(result: CaseResult, name: TargetName, percentile: 'p50_us' | 'p99_us'): string {
  const samples = result.samples[name] ?? [];
  return samples.length === 0 ? '-' : median(samples.map((sample) => sample[percentile])).toFixed(1);
}

function caseRow(result: CaseResult, targets: readonly TargetName[]): string[] {
  const { bench } = result;
  const measured: TargetName = targets.includes('nvmfs') ? 'nvmfs' : 'null';
  return [
    bench.title, bench.unit, ...targets.map((name) => formatRate(rates(result, name))),
    latency(result, measured, 'p50_us'), latency(result, measured, 'p99_us'),
    formatRatio(ratioTo(result, 'null')), formatRatio(ratioTo(result, 'null-memory')),
    bench.goal === null ? '' : bench.goal.toFixed(2), verdict(goalMet(result)),
  ];
}

/** A table with a row per case; columns as wide as they must be. */
export function formatCases(results: readonly CaseResult[], targets: readonly TargetName[]): string[] {
  const header = ['case', 'unit', ...targets, 'p50 µs', 'p99 µs', 'nvmfs/null', 'nvmfs/null-memory', 'goal', ''];
  return formatTable([header, ...results.map((result) => caseRow(result, targets))]);
}

/** The first two columns are text, the others figures. */
function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ').trimEnd(),
  );
}

export function formatVolumeTimes(times: VolumeTimes): string[] {
  const line = (what: string, value_ms: number, goal_ms: number | null): string =>
    `${what.padEnd(28)}${value_ms.toFixed(0).padStart(6)} ms` +
    (goal_ms === null ? '' : `   goal ${goal_ms} ms   ${verdict(value_ms <= goal_ms)}`);
  return [
    `volume of ${times.size.toUpperCase()}iB, sparse; whole commands, median of ${times.rounds}, nothing else running`,
    line('mkfs.nvmfs', times.mkfs_ms, MKFS_GOAL_MS) + `   (${(times.mkfsWritten_bytes / 1024).toFixed(0)} KiB allocated)`,
    line('nvmfs mount', times.mount_ms, MOUNT_GOAL_MS),
    line('nvmfs umount', times.umount_ms, null),
    line('node itself (node -e 0)', times.nodeStart_ms, null),
  ];
}

/** Of files of a volume, mapped, against mmap of a plain file. */
export function formatMappings(results: readonly MappingResult[]): string[] {
  const rows = results.map(({ title, unit, nvmfs, plain, ratio, goal, ofTimes }) => {
    const met = goal === null ? null : ofTimes ? ratio.median <= goal : ratio.median >= goal;
    return [title, unit, formatRate(plain), formatRate(nvmfs), formatRatio(ratio), goal === null ? '' : `${ofTimes ? '≤' : '≥'} ${goal.toFixed(2)}`, verdict(met)];
  });
  return formatTable([['mapping', 'unit', 'plain file', 'nvmfs', 'nvmfs/plain', 'goal', ''], ...rows]);
}

/** The whole run for `--json`; documented in doc/BENCHMARKS.md. */
export function toJson(method: Method, results: readonly CaseResult[], volume: VolumeTimes | null, mappings: readonly MappingResult[] | null): string {
  const cases = results.map((result) => ({
    name: result.bench.name, unit: result.bench.unit, scale: result.bench.scale, goal: result.bench.goal, samples: result.samples,
    ratioToNull: ratioTo(result, 'null'), ratioToNullMemory: ratioTo(result, 'null-memory'), met: goalMet(result),
  }));
  return `${JSON.stringify({ version: 1, date: new Date().toISOString(), description: describeRun(method), method, cases, volume, mappings }, null, 2)}\n`;
}
