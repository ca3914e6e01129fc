// Seconds that pg-boss needs for the given number of trivial jobs, in its largest sensible batches.
import PgBoss from "pg-boss";
import pg from "pg";

const [url, jobs] = [process.argv[2], Number(process.argv[3])];
const boss = new PgBoss({ connectionString: url, max: 10, supervise: false, schedule: false });
boss.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
await boss.start();
await boss.createQueue("trivial");
await boss.purgeQueue("trivial");
for (let from = 0; from < jobs; from += 10000) {
  const size = Math.min(10000, jobs - from);
  await boss.insert(Array.from({ length: size }, (_, n) => ({ name: "trivial", data: { id: from + n } })));
}
const pool = new pg.Pool({ connectionString: url, max: 1 });
await pool.query("VACUUM ANALYZE pgboss.job");
await pool.query("CHECKPOINT");
await pool.end();

let done = 0;
const began = process.hrtime.bigint();
const drain = async () => {
  for (;;) {
    const batch = await boss.fetch("trivial", { batchSize: 1000 });
    if (batch.length === 0) return;
    await boss.complete("trivial", batch.map((job) => job.id));
    done += batch.length;
  }
};
await Promise.all([drain(), drain()]);
console.log(Number(process.hrtime.bigint() - began) / 1e9);
if (done !== jobs) throw new Error(`${done} of ${jobs} jobs were done`);
await boss.stop({ graceful: false });
