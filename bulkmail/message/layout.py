"""The page around a Markdown message: one column that reads well on a phone, in light and in dark.

Written as a stylesheet and meant to be inlined: what a client without <style> shows is the light page. The
rules for dark stay in a media query. Colours are pairs of text and ground with a contrast of at least 4.5:1
(WCAG 2.2, 1.4.3) in both; a test computes them.
"""

from __future__ import annotations

LAYOUT = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no, date=no, address=no, email=no">
<style>
body { margin: 0; padding: 0; background-color: #f3f4f6; -webkit-text-size-adjust: 100% }
.ground { background-color: #f3f4f6; padding: 24px 12px }
.page { max-width: 600px; margin: 0 auto; padding: 28px 24px; background-color: #ffffff; border-radius: 8px;
  color: #1f2937; font-family: system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif;
  font-size: 16px; line-height: 1.6; overflow-wrap: break-word; word-break: break-word }
h1 { margin: 0 0 16px; font-size: 28px; line-height: 1.25; font-weight: 700; color: #111827 }
h2 { margin: 32px 0 12px; font-size: 22px; line-height: 1.3; font-weight: 700; color: #111827 }
h3 { margin: 24px 0 8px; font-size: 18px; line-height: 1.4; font-weight: 700; color: #111827 }
p { margin: 0 0 16px }
a { color: #1d4ed8; text-decoration: underline }
ul, ol { margin: 0 0 16px; padding-left: 24px }
li { margin: 0 0 6px }
li ul, li ol { margin: 6px 0 0 }
blockquote { margin: 0 0 16px; padding: 8px 0 1px 16px; border-left: 4px solid #d1d5db; color: #4b5563 }
code { padding: 2px 5px; border-radius: 4px; background-color: #f3f4f6; color: #1f2937;
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 14px }
pre { margin: 0 0 16px; padding: 14px 16px; border-radius: 6px; background-color: #f3f4f6; color: #1f2937;
  line-height: 1.5; white-space: pre-wrap }
pre code { padding: 0; background-color: transparent }
table { width: 100%; margin: 0 0 16px; border-collapse: collapse }
th, td { padding: 8px 10px; border-bottom: 1px solid #d1d5db; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #9ca3af; color: #111827; word-break: normal; overflow-wrap: normal }
blockquote p { margin: 0 0 8px }
hr { margin: 28px 0; border: 0; border-top: 1px solid #d1d5db }
img { max-width: 100%; height: auto; border: 0 }
@media (prefers-color-scheme: dark) {
  body, .ground { background-color: #0f1115 !important }
  .page { background-color: #1a1d23 !important; color: #e5e7eb !important }
  h1, h2, h3, th { color: #f9fafb !important }
  a { color: #93b4ff !important }
  blockquote { border-color: #4b5563 !important; color: #b6bcc6 !important }
  code, pre { background-color: #2a2f38 !important; color: #e5e7eb !important }
  pre code { background-color: transparent !important }
  th, td, hr { border-color: #4b5563 !important }
}
@media (max-width: 480px) {
  .ground { padding: 0 !important }
  .page { padding: 24px 16px !important; border-radius: 0 !important }
  th, td { padding: 8px 6px !important }
}
</style>
</head>
<body>
<div class="ground">
<!--[if mso]><table role="presentation" align="center" width="600"><tr><td><![endif]-->
<div class="page" dir="auto">
<!--content--></div>
<!--[if mso]></td></tr></table><![endif]-->
</div>
</body>
</html>
"""
