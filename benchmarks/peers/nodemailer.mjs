// nodemailer as its page on bulk mail advises: a pool, connections kept for all messages, and workers that
// each wait for a send before they take the next. MailComposer builds each message; the shared one is `raw`.
// Reads one JSON object from standard input (with_nodemailer.py), prints one.

import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import nodemailer from 'nodemailer';

const job = JSON.parse(readFileSync(0, 'utf8'));
const HTML_CHARACTERS = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' };
const escaped = value => value.replace(/[&<>"']/g, character => HTML_CHARACTERS[character]);
const asItIs = value => value;

// A template that is only fields, compiled to parts that are joined: less than any engine does.
function template(source, escape) {
    const parts = source.split(/\{\{ ([\w.]+) \}\}/);
    return values => parts.map((part, i) => (i % 2 ? escape(values[part]) : part)).join('');
}

const html = template(job.html, escaped);
const text = template(job.text, asItIs);
const subject = template(job.subject, asItIs);
const address = number => `p${number}@d${number % 50}.example`;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

function token(number) {
    const digest = createHmac('sha256', job.secret).update(`${job.campaign}:${number}`).digest();
    let out = '';
    for (let i = 0; i < 20; i += 5) {
        let bits = digest.readUIntBE(i, 5);
        let five = '';
        for (let k = 0; k < 8; k++, bits = Math.floor(bits / 32)) five = ALPHABET[bits % 32] + five;
        out += five;
    }
    return out;
}

function personal(number) {
    const row = job.people[number % job.people.length];
    const url = job.url + token(number);
    const values = {
        ...row,
        points: row.points + (number % 1000),
        email: address(number),
        unsubscribe_url: url,
        'list.postal_address': job.postal_address
    };
    return {
        from: job.from,
        to: { name: `${values.first_name} ${values.last_name}`, address: values.email },
        replyTo: job.reply_to,
        subject: subject(values),
        date: job.date,
        headers: {
            'List-Id': `<${job.list_id}>`,
            'List-Unsubscribe': { prepared: true, value: `<${url}>, <mailto:${job.mailto}>` },
            'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
            'X-Team': 'growth'
        },
        text: text(values),
        html: html(values)
    };
}

const constant = Buffer.from(job.constant, 'base64');

function shared(number) {
    const first = number * job.per_message;
    const to = [];
    for (let i = first; i < Math.min(first + job.per_message, job.recipients); i++) to.push(address(i));
    return { envelope: { from: job.reverse_path, to }, raw: constant };
}

const transporter = nodemailer.createTransport({
    host: job.host,
    port: job.port,
    name: 'peer.example',
    secure: false,
    ignoreTLS: !job.tls,
    requireTLS: job.tls,
    tls: { rejectUnauthorized: false },
    pool: true,
    maxConnections: job.connections,
    maxMessages: Infinity,
    ...(job.key && { dkim: { domainName: job.dkim_domain, keySelector: job.dkim_selector, privateKey: job.key } })
});

const message = job.scenario === 'shared' ? shared : personal;
let next = 0;
let messages = 0;
let recipients = 0;

async function worker() {
    while (next < job.messages) {
        const info = await transporter.sendMail(message(next++));
        messages++;
        recipients += info.accepted.length;
    }
}

const began = performance.now();
const cpu = process.cpuUsage();
// Twice as many as connections: one message is built while another is on its way.
await Promise.all(Array.from({ length: 2 * job.connections }, worker));
transporter.close();
const { user, system } = process.cpuUsage(cpu);
const seconds = (performance.now() - began) / 1000;
console.log(JSON.stringify({ messages, recipients, seconds, cpu_s: (user + system) / 1e6 }));
