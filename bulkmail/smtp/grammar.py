"""The grammar of the wire: every pattern this package matches with, the RFC's ABNF above each.

Patterns use possessive quantifiers, so that none of them can be made to backtrack by what a peer sends.
Whatever is matched with `fullmatch` is safe to put on a command line: no pattern lets CR, LF or NUL through.
"""

from __future__ import annotations

import re

# RFC 5322 section 3.2.3
#   atext = ALPHA / DIGIT / "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "/" / "=" / "?" / "^" /
#           "_" / "`" / "{" / "|" / "}" / "~"
_ATEXT = r"A-Za-z0-9!#$%&'*+\-/=?^_`{|}~"

# RFC 6531 section 3.3: atext =/ UTF8-non-ascii. We leave out what is not text: C1 controls, surrogates, line
# and paragraph separators, other spaces, bidirectional overrides, non-characters. They could only deceive.
_UTEXT = (
    r"\u00a1-\u167f\u1681-\u1fff\u200c-\u200d\u2010-\u2027\u2030-\u205e\u2060-\u2065\u2070-\u2fff"
    r"\u3001-\ud7ff\ue000-\ufdcf\ufdf0-\ufefe\uff00-\uffef\U00010000-\U0010fffd"
)

# RFC 5321 section 4.1.2
#   Dot-string = Atom *("." Atom)
#   Atom       = 1*atext
_DOT_STRING = rf"[{_ATEXT}]++(?:\.[{_ATEXT}]++)*+"
DOT_STRING = re.compile(_DOT_STRING)
UTF8_DOT_STRING = re.compile(rf"[{_ATEXT}{_UTEXT}]++(?:\.[{_ATEXT}{_UTEXT}]++)*+")

# RFC 5321 section 4.1.2
#   Quoted-string   = DQUOTE *QcontentSMTP DQUOTE
#   QcontentSMTP    = qtextSMTP / quoted-pairSMTP
#   quoted-pairSMTP = %d92 %d32-126
#   qtextSMTP       = %d32-33 / %d35-91 / %d93-126          ; RFC 6531: =/ UTF8-non-ascii
QUOTED_STRING = re.compile(rf'"((?:[ !#-\[\]-~{_UTEXT}]|\\[ -~])*+)"')
QUOTED_PAIR = re.compile(r"\\(.)")

# RFC 5321 section 4.1.2 (RFC 1035 section 2.3.4: a label has at most 63 octets; checked apart)
#   Domain     = sub-domain *("." sub-domain)
#   sub-domain = Let-dig [Ldh-str]
#   Ldh-str    = *( ALPHA / DIGIT / "-" ) Let-dig
_LABEL = r"[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*+"
DOMAIN = re.compile(_DOMAIN)
A_LABELS = re.compile(_DOMAIN.replace("A-Za-z", "a-z").encode())

# RFC 5321 section 4.1.2: Mailbox = Local-part "@" ( Domain / address-literal ); here only the plain majority.
# The last label does not begin with a digit: that would be a bare IPv4 address, or nearly.
_PLAIN_DOMAIN = rf"(?:{_LABEL}\.)*+(?![0-9]){_LABEL}"
PLAIN_MAILBOX = re.compile(rf"({_DOT_STRING})@({_PLAIN_DOMAIN})")
# likewise, and in canonical form: the domain is in lower case
PLAIN_MAILBOXES = re.compile(rf"(?:(?:{_DOT_STRING})@{_PLAIN_DOMAIN.replace('A-Za-z', 'a-z')}\n)*+")
PLAIN_DOMAINS = re.compile(rf"(?:{_PLAIN_DOMAIN}\n)*+")  # any number of them, a line each

# RFC 5321 section 4.1.3
#   address-literal       = "[" ( IPv4-address-literal / IPv6-address-literal / General-address-literal ) "]"
#   IPv6-address-literal  = "IPv6:" IPv6-addr
# What is between the brackets is judged by the `ipaddress` module.
ADDRESS_LITERAL = re.compile(r"\[(IPv6:)?([0-9A-Fa-f.:]{2,45})\]", re.IGNORECASE)

# C0 and C1 controls and DEL, and the characters that some terminals and editors take for a line end.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# RFC 5321 section 4.2
#   Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
#   Reply-code = %x32-35 %x30-35 %x30-39
# Second digits above 5 exist in the wild (571, 590); the class is what counts.
REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)

# RFC 3463 section 2 (and RFC 2034 section 4)
#   status-code = class "." subject "." detail ; class = "2" / "4" / "5" ; subject, detail = 1*3digit
ENHANCED_STATUS = re.compile(rb"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?![^ \t])")

# RFC 5321 section 4.1.2
#   esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
#   esmtp-value   = 1*(%d33-60 / %d62-126)
ESMTP_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*+")
ESMTP_VALUE = re.compile(r"[!-<>-~]++")

# RFC 5321 section 4.1.1.1: ehlo = "EHLO" SP ( Domain / address-literal ) CRLF. Names with underscores and
# the like are met daily; what matters is that it is one printable word.
HELO_NAME = re.compile(r"[!-~]{1,255}")

# RFC 5321 section 4.1.1: a verb, then whatever belongs to it
COMMAND_LINE = re.compile(r"([A-Za-z]{1,16})(?:[ \t]++(.*?))?[ \t]*+", re.DOTALL)

# RFC 5321 sections 4.1.1.2 and 4.1.1.3, 4.1.2
#   mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
#   rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] CRLF
#   Path = "<" [ A-d-l ":" ] Mailbox ">"      ; A-d-l, the source route, is accepted and ignored
# A space after the colon is not in the grammar, and common.
PATH = re.compile(
    r'(FROM|TO):[ ]?<(?:@[^:<>"\s]++:)?((?:"(?:[^"\\]|\\.)*+"@)?[^<>"\s]*+)>(?:[ ]++(.*))?', re.IGNORECASE
)

# RFC 3030 section 2: bdat-cmd = "BDAT" SP chunk-size [ SP "LAST" ] CR LF ; chunk-size = 1*DIGIT
BDAT_LINE = re.compile(rb"BDAT[ ]++([0-9]{1,20})(?:[ ]++(LAST))?[ ]*+", re.IGNORECASE)

# RFC 4954 section 4: AUTH mechanism [initial-response]; RFC 4422: sasl-mech = 1*20mech-char
SASL_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")

# RFC 5321 section 4.1.1.4: the end of data is <CRLF>.<CRLF>. Here as the loosest servers would see it.
LONE_DOT = re.compile(rb"[\r\n]\.[\r\n]")
