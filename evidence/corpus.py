#!/usr/bin/env python3
"""corpus.py OUT.jsonl: 5,000 lines of mixed text to compare tokenizers on, one JSON string a line.

Needs nothing but Python and always writes the same bytes: own random numbers, own word lists. Every character has been
assigned since Unicode 13 or earlier, so that Unicode tables of different versions agree on its class and normal form.
"""
import json
import sys
import unicodedata

LINES = 5000


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return (z ^ z >> 31) % n

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def pick(self, items):
        return items[self.below(len(items))]

    def many(self, low, high, make):
        return [make() for _ in range(self.between(low, high))]


# ----------------------------------------------------------------------------------------------------------- material

WORDS = {
    "en": """the of and to in is that it was for on are as with his they at be this have from or had by hot word but what
        some we can out other were all there when up use your how said an each she which do their time if will way about
        many then them write would like so these her long make thing see him two has look more day could go come did
        number sound no most people my over know water than call first who may down side been now find any new work part
        take get place made live where after back little only round man year came show every good me give our under name
        very through just form sentence great think say help low line differ turn cause much mean before move right boy
        old too same tell does set three want air well also play small end put home read hand port large spell add even
        land here must big high such follow act why ask men change went light kind off need house picture try us again
        animal point mother world near build self earth father head stand own page should country found answer school
        grow study still learn plant cover food sun four between state keep eye never last let thought city tree cross
        Monday December Einstein Reykjavik iPhone McDonald NASA GPU eBay antidisestablishmentarianism naïve café façade
        coöperate résumé Zürich mother-in-law state-of-the-art e-mail O'Brien""".split(),
    "zh": """我们 今天 去 公园 散步 天气 很 好 中国 的 历史 悠久 人工智能 正在 改变 世界 请 给 我 一杯 水 谢谢 机器学习 模型 需要 大量
        数据 他 说 她 不 知道 为什么 这里 没有 人 书 电脑 程序 语言 學習 繁體 漢字 臺灣 圖書館 龍 龜 鬱 𠮷野家 𡃁 你好 再见""".split(),
    "ja": """こんにちは 世界 私 は 学生 です 東京 に 行きました コンピュータ プログラム を 書く 日本語 の 文章 ありがとう ございます カタカナ
        ひらがな 漢字 ﾊﾝｶｸ 食べる 飲む 美しい 桜 が 咲いた ラーメン ヴァイオリン っ ー 々 〆 ㌔ ㍿""".split(),
    "ko": """안녕하세요 세계 저는 학생 입니다 서울 에서 만나요 컴퓨터 프로그램 을 작성 합니다 한국어 문장 감사합니다 먹다 마시다 아름다운 꽃 이
        피었다 라면 ㅋㅋㅋ ㅎㅎ 값 닭 뷁""".split(),
    "ru": """привет мир как дела сегодня хорошая погода в Москве машинное обучение это интересно ёлка подъезд съёмка жизнь
        человек Россия Україна їжак ґанок београд ђак љубав""".split(),
    "ar": """مرحبا بالعالم كيف حالك اليوم الطقس جميل في القاهرة تعلم الآلة مثير للاهتمام كِتَابٌ مُدَرِّسٌ لا إله سلام فارسی گچ پژ می‌خواهم
        ١٢٣ ۴۵۶""".split(),
    "hi": """नमस्ते दुनिया आप कैसे हैं आज मौसम अच्छा है दिल्ली में मशीन लर्निंग रोचक क्षत्रिय ज्ञान श्री हिन्दी ड़ ढ़ क़ १२३ ४५६""".split(),
    "th": """สวัสดี ชาวโลก วันนี้ อากาศดี กรุงเทพมหานคร การเรียนรู้ของเครื่อง น้ำ ผู้ใหญ่ เก๋ ๑๒๓""".split(),
    "he": """שלום עולם מה שלומך היום מזג האוויר נפלא תל־אביב לְמִידָה צה״ל ג׳ירפה""".split(),
    "el": """γειά σου κόσμε μηχανική μάθηση Ἀθῆναι ἄνθρωπος ῥόδον ὀδυσσεύς""".split(),
    "vi": """xin chào thế giới học máy rất thú vị người Việt Nam đường phố nghiêng""".split(),
    "de": """Straße größer Übermut Donaudampfschifffahrtsgesellschaft schön Fußgänger Äpfel ẞ""".split(),
    "tr": """İstanbul ışık çiğ köfte şeker ğ ıI iİ""".split(),
    "other": """გამარჯობა Բարեւ ሰላም வணக்கம் নমস্কার ਸਤਿ ગુજરાતી ଓଡ଼ିଆ తెలుగు ಕನ್ನಡ മലയാളം සිංහල ລາວ བོད་ཡིག မြန်မာ ភាសា ᠮᠣᠩᠭᠣᠯ ᏣᎳᎩ ᚠᚢᚦ
        𐌰𐌱𐌲 𓀀𓂀 𝔘𝔫𝔦 𝟘𝟙𝟚 Ⅷ ⅻ ① ㊙ ½ ² ₃ ﬁ ﬄ Ａｂｃ １２３""".split(),
}
PROSE_MARKS = [" ", " ", " ", " ", " ", " ", ", ", ". ", "; ", ": ", " - ", " — ", "… ", "! ", "? ", " (", ") ", ' "', '" ', "/", " & "]
CONTRACTIONS = """I'm you're he's she'S it's we'll WE'LL they've I'd can't won't DON'T y'all'd've o'clock rock'n'roll 'tis
    'twas ain't l'homme d'être qu'il dogs' James's 's 't 're 've 'm 'll 'd 'S 'T 'RE 'VE 'M 'LL 'D it’s don’t we’ll
    'ſ it'ſ a's1 1's '' '" ''s 'sx 'lll 'tt ' s""".split("\n")
CONTRACTIONS = [word for line in CONTRACTIONS for word in line.split()]
SPECIAL = """<|im_start|> <|im_end|> <|endoftext|> <|im_start|>user <|im_sep|> </think> <think> <tool_call> </tool_call> <|fim_prefix|>
    <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <|vision_start|> <|box_end|> <|object_ref_start|> <s> </s>
    <unk> <pad> <bos> <eos> [INST] [/INST] <<SYS>> <|begin_of_text|> <|eot_id|> <file_sep> <reponame> <gh_stars> <jupyter_code>
    <issue_start> <empty_output> <|im_start <|im_end| |im_end|> <|IM_END|> <|im_end|>> <<|im_end|> <| im_end |> < |im_end|>
    <|endoftext|><|endoftext|> <0x0A> ▁ ▁the Ġ Ċ Ġthe <|""".split()
SPACES = [" ", "  ", "   ", "    ", "     ", "        ", "\t", "\t\t", "\t ", " \t", "\u00a0", "\u00a0\u00a0", " \u00a0", "\u3000",
          "\u3000\u3000", "\u2003", "\u2009", "\u200a", "\u202f", "\u205f", "\u1680", "\u2028", "\u2029", "\u0085", "\n", "\n\n",
          "\n\n\n", "\r\n", "\r\n\r\n", "\r", "\n ", " \n", "\n\t", "\t\n", "  \n  ", "\n  \n", "\v", "\f", " \r\n ", "\u200b",
          "\ufeff", "\u2060", "\u00ad"]
MARKS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + """... !! ?! -- --- == === != <= >= -> => :: // /* */ ## ### ** __ ~~ `` ``` $$ {{
    }} [[ ]] (( )) <> </ /> && || ++ += <<= >>> ;; ," '; ."; "), ]); "}, • – — “ ” ‘ ’ « » „ ‚ ¡ ¿ § ¶ † ‡ ‰ … ‹ › ₿ € £ ¥ © ® ™ ° ± × ÷ 、 。 「 」 『 』
    【 】 《 》 ！ ？ ， ： ； ～ ・ ॐ । ؟ ، ؛ ፡ ― ⁂ ⸮""".split()
MATH = ["x² + y² = z²", "∑_{i=1}^{n} i = n(n+1)/2", "∫₀^∞ e^{-x²} dx = √π/2", "∀ε>0 ∃δ>0: |x−a|<δ ⇒ |f(x)−L|<ε", "\\frac{a}{b} \\cdot \\sqrt[3]{x}",
        "$E = mc^2$", "\\boxed{42}", "A ∪ B ⊂ C ∩ D", "∇·𝐄 = ρ/ε₀", "ℵ₀ < 2^{ℵ₀}", "⌊x⌋ ≤ x < ⌈x⌉+1", "3.14159e-10", "1,234,567.89", "0xDEADBEEF", "0b1011",
        "1/2+⅓=⅚", "n! ≈ √(2πn)(n/e)^n", "−273.15 °C", "99.9%", "f: ℝ→ℂ", "½mv²", "10⁻⁶", "H₂O", "√2≈1.41421356", "\\begin{align*}\n  a &= b \\\\\n\\end{align*}"]
URLS = ["https://example.com/", "http://a.b.c.example.org:8080/path/to/page?x=1&y=%20z#frag", "ftp://user:pass@host/file.tar.gz", "mailto:jane.doe+tag@example.co.uk",
        "//cdn.example.net/lib.min.js?v=3.2.1", "file:///usr/share/doc/", "www.例え.jp/パス?キー=値", "192.168.0.1", "[2001:db8::ff00:42:8329]:443",
        "C:\\Users\\name\\Documents\\x.txt", "~/.config/app/settings.toml", "git@host:team/repo.git", "s3://bucket/key=1/part-00000.parquet"]
EMOJI = ["😀", "😂", "🤖", "❤️", "❤", "☺️", "✨", "🎉", "👍", "👍🏽", "👩🏿‍🚀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🏴‍☠️", "🇩🇪", "🇯🇵🇰🇷", "🇧", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "1️⃣", "#️⃣", "🧑‍🤝‍🧑", "🤷🏻‍♀️", "🐻‍❄️", "🥲", "🫀", "👁️‍🗨️", "🎅🏾",
         "💩", "🕵️‍♂️", "™️", "ℹ️", "⏰", "🈚", "🀄", "🃏", "\u200d", "\ufe0f", "🏽"]
COMBINING = ["e\u0301", "a\u0308", "n\u0303", "o\u0302\u0323", "o\u0323\u0302", "\u1ed9", "c\u0327\u0301", "A\u030a", "\u212b", "\u00c5", "q\u0307\u0323", "\u1e9b\u0323",
             "z\u0351\u036b\u0343\u036a\u0302\u036b\u033d", "\u0301", " \u0301", "i\u0307", "\u0344", "\u0340", "ᄒ\u1161\u11ab", "가\u11a8", "か\u3099", "は\u309a", "\u0958", "\u0915\u093c",
             "\u2126", "\u00b5", "\uf900", "\ufa0e", "\ufb2a", "\ufb01", "\U0002f800", "\u0f73", "\u0dca\u0dcf", "\u1026", "\u09c7\u09be", "\U0001d15e", "\u2adc", "x\u20dd"]
CODE = [
    "def fib(n: int) -> int:\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n",
    "class Node:\n    def __init__(self, *args, **kwargs):\n        self._x = kwargs.get('x', None)\n\n    @property\n    def x(self):\n        return f\"{self._x!r:>10}\"\n",
    "for i in range(0, 10):\n\tif i % 2 == 0:\n\t\tprint(i, end='')\n",
    "fn main() -> Result<(), Box<dyn std::error::Error>> {\n    let v: Vec<u32> = (0..10).filter(|x| x % 2 == 0).collect();\n    println!(\"{v:?}\");\n    Ok(())\n}\n",
    "impl<'a, T: Iterator<Item = &'a str>> Foo<'a, T> {\n    pub(crate) fn next(&mut self) -> Option<&'a str> { self.0.next() }\n}\n",
    "#include <stdio.h>\n\nint main(void) {\n    for (size_t i = 0; i < 10; ++i)\n        printf(\"%zu\\n\", i);\n    return 0;\n}\n",
    "template <typename T>\nauto sum(const std::vector<T>& v) -> T { return std::accumulate(v.begin(), v.end(), T{}); }\n",
    "const f = async (x) => {\n  const { a, ...rest } = await fetch(`/api/${x}?q=${encodeURIComponent(y)}`).then((r) => r.json());\n  return rest ?? a?.b;\n};\n",
    "SELECT u.id, COUNT(*) AS n\nFROM users u LEFT JOIN orders o ON o.user_id = u.id\nWHERE u.name LIKE '%O''Brien%'\nGROUP BY 1 HAVING COUNT(*) > 3;\n",
    "#!/bin/bash\nset -euo pipefail\nfor f in \"${files[@]}\"; do\n\techo \"$(basename \"$f\" .txt)\" | sed 's/a\\/b/c/g' >> out.log 2>&1\ndone\n",
    "<!DOCTYPE html>\n<html lang=\"en\">\n  <body class='a b'>\n    <p>Hello &amp; goodbye&nbsp;<br/></p>\n    <!-- comment -->\n  </body>\n</html>\n",
    "{\"key\": [1, 2.5, -3e10, true, null], \"nested\": {\"ä\": \"\\u00e4\\n\"}}",
    "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tch := make(chan int, 3)\n\tgo func() { ch <- 1 }()\n\tfmt.Printf(\"%v\\n\", <-ch)\n}\n",
    "public static <T extends Comparable<T>> void sort(List<T> xs) throws IOException {\n    xs.stream().map(x -> x.toString()).forEach(System.out::println);\n}\n",
    "qsort [] = []\nqsort (x:xs) = qsort [y | y <- xs, y < x] ++ [x] ++ qsort [y | y <- xs, y >= x]\n",
    "[package]\nname = \"demo\"\nversion = \"0.1.0\"\n\n[dependencies]\nserde = { version = \"1\", features = [\"derive\"] }\n",
    "name: ci\non: [push]\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: cargo test --all\n",
    "diff --git a/x.py b/x.py\n@@ -1,3 +1,4 @@\n-old line\n+new line\n unchanged\r\n",
    "| a | b |\n|---|:-:|\n| `x` | **y** |\n\n- [ ] todo\n1. one\n   - two\n> quote\n\n```rust\nlet x = 1;\n```\n",
    ".text\n_start:\n    mov $60, %rax\n    xor %rdi, %rdi\n    syscall\n",
    "(defun f (x) (if (<= x 1) 1 (* x (f (1- x)))))",
    "\\documentclass{article}\n\\begin{document}\nHello, $\\alpha_{i}$!\n\\end{document}\n",
    "if (a>=b&&c!==d||!e) { x=y?.z; i++; --j; k**=2; l>>>=1; }",
    "body > div.main::before { content: \"\\201C\"; margin: 0 auto !important; color: #ff00AA; }",
    "const café = 'ñ'; // naïve — “quotes”\nlet 变量 = `值${café}`;\n",
]
# Only blocks without gaps: every code point in them was assigned by Unicode 13.
BLOCKS = [(0x21, 0x7E), (0xA1, 0xFF), (0x100, 0x17F), (0x180, 0x24F), (0x250, 0x2AF), (0x2B0, 0x2FF), (0x300, 0x36F), (0x3A3, 0x3FF), (0x400, 0x4FF),
          (0x531, 0x556), (0x561, 0x587), (0x5D0, 0x5EA), (0x620, 0x64A), (0x64B, 0x669), (0x66E, 0x6D3), (0x710, 0x74A), (0x780, 0x7B1), (0x904, 0x939),
          (0x93E, 0x94D), (0x985, 0x98C), (0xE01, 0xE3A), (0xE3F, 0xE5B), (0xF00, 0xF47), (0x1000, 0x109F), (0x10D0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x1248),
          (0x13A0, 0x13F5), (0x1400, 0x167F), (0x1780, 0x17DD), (0x1820, 0x1878), (0x1E00, 0x1EFF), (0x2010, 0x2027), (0x2030, 0x205E), (0x2070, 0x2071),
          (0x2080, 0x208E), (0x20A0, 0x20BF), (0x20D0, 0x20F0), (0x2100, 0x218B), (0x2190, 0x21FF), (0x2200, 0x22FF), (0x2300, 0x23FF), (0x2460, 0x24FF),
          (0x2500, 0x257F), (0x2580, 0x25FF), (0x2600, 0x26FF), (0x2700, 0x27BF), (0x27C0, 0x27FF), (0x2800, 0x28FF), (0x2900, 0x297F), (0x2A00, 0x2AFF),
          (0x3001, 0x303F), (0x3041, 0x3096), (0x30A0, 0x30FF), (0x3131, 0x318E), (0x3200, 0x321E), (0x3400, 0x4DB5), (0x4E00, 0x9FEF), (0xA000, 0xA48C),
          (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xF900, 0xFA6D), (0xFB00, 0xFB06), (0xFE10, 0xFE19), (0xFE30, 0xFE52), (0xFF01, 0xFFBE), (0xFFE0, 0xFFE6),
          (0x10330, 0x1034A), (0x10400, 0x1044F), (0x12000, 0x12399), (0x13000, 0x1342E), (0x1D400, 0x1D454), (0x1D7CE, 0x1D7FF), (0x1F300, 0x1F5FF),
          (0x1F600, 0x1F64F), (0x1F680, 0x1F6C5), (0x1F900, 0x1F978), (0x20000, 0x2A6D6), (0x2F800, 0x2FA1D)]
CONTROLS = [chr(c) for c in [*range(0x00, 0x20), 0x7F, *range(0x80, 0xA0), 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x202A, 0x202E, 0x2066, 0x2069, 0xFEFF, 0xFFFC, 0xFFFD]]
EDGES = [" ", "  ", "\n", "\t", "\r", "\0", "a", ".", "0", "'", "é", "e\u0301", "中", "😀", "\u200b", "\ufeff", "\u00a0", "\u3000", "\u0301", " a", "a ", " a ", "\na", "a\n", "  a",
         "a  ", "   \n", "\n   ", " \n \n ", "a\n\n\nb", "a \n b", "a\r\nb", "1 2", "12", "123", "1234", " 1", "1 ", "٣", "१२", "²³", "Ⅷ", "½", "'s", " 's", "'S", "A's", "\ufffd", "\ufeffBOM",
         "<", "<|", "|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", " <|endoftext|>", "<|endoftext|> ", "\n<|im_end|>\n", "a<|im_start|>b", "<think>", "</think>", "\n</think>\n\n"]

# --------------------------------------------------------------------------------------------------------- generators


def letters(r, low, high, alphabet="abcdefghijklmnopqrstuvwxyz"):
    return "".join(r.many(low, high, lambda: r.pick(alphabet)))


def prose(r, language=None):
    words = WORDS[language or "en"]
    between = [""] if language in ("zh", "ja", "th") and r.below(4) else PROSE_MARKS
    text = "".join(r.pick(words) + r.pick(between) for _ in range(r.between(2, 40)))
    return r.pick([text, text, text.strip(), text.capitalize(), text.upper(), " " + text])


def foreign(r):
    return prose(r, r.pick([name for name in WORDS if name != "en"]))


def cjk(r):
    text = prose(r, r.pick(["zh", "ja", "ko"]))
    return text.replace(". ", "。").replace(", ", "、") if r.below(2) else text


def code(r):
    text = r.pick(CODE)
    for word in ["main", "x", "name", "fib", "Node", "users"]:
        if r.below(3) == 0:
            text = text.replace(word, r.pick([letters(r, 1, 12), "snake_case_name", "camelCaseName", "SCREAMING_CASE", "x1", "_private", "HTTPServer2"]))
    lines = text.split("\n")
    start = r.below(len(lines))
    text = "\n".join(lines[start:start + r.between(1, len(lines))]) if r.below(2) else text
    return r.pick([text, text, text.replace("\n", "\r\n"), text.replace("    ", "\t"), text.replace("    ", "  "), text + "\n\n" + r.pick(CODE)])


def emoji(r):
    return "".join(r.pick([r.pick(EMOJI), r.pick(EMOJI), r.pick(WORDS["en"]), " ", ""]) for _ in range(r.between(1, 15)))


def controls(r):
    return "".join(r.pick([r.pick(CONTROLS), r.pick(CONTROLS), r.pick(WORDS["en"]), " ", "\n"]) for _ in range(r.between(1, 12)))


def combining(r):
    text = "".join(r.pick([r.pick(COMBINING), r.pick(COMBINING), r.pick(WORDS["vi"]), r.pick(WORDS["en"]), r.pick(WORDS["ko"]), " "]) for _ in range(r.between(1, 12)))
    return r.pick([text, unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", foreign(r))])


def digits(r):
    number = lambda: letters(r, 1, r.pick([1, 2, 3, 4, 5, 8, 20, 100]), "0123456789")
    shapes = [number, number, lambda: number() + "." + number(), lambda: number() + "," + number(), lambda: "-" + number(), lambda: "$" + number(), lambda: number() + "%",
              lambda: number() + ":" + number(), lambda: number() + "-" + number() + "-" + number(), lambda: number() + r.pick(WORDS["en"]), lambda: r.pick(WORDS["en"]) + number(),
              lambda: letters(r, 1, 6, "٠١٢٣٤٥٦٧٨٩"), lambda: letters(r, 1, 6, "०१२३४५६७८९"), lambda: letters(r, 1, 6, "０１２３４５６７８９"), lambda: letters(r, 1, 4, "²³¹⁰₁₂½¾ⅣⅧ①⑳㊿𝟙𝟚")]
    return r.pick(["", " ", "+", "\n"]).join(r.many(1, 8, lambda: r.pick(shapes)()))


def spaces(r):
    return "".join(r.pick([r.pick(SPACES), r.pick(SPACES), r.pick(WORDS["en"]), r.pick(MARKS), letters(r, 1, 3, "0123456789"), r.pick(WORDS["zh"])]) for _ in range(r.between(1, 16)))


def blanks(r):
    return "".join(r.many(1, 12, lambda: r.pick(" \t\n\r\u00a0\u3000")))


def contractions(r):
    return r.pick([" ", " ", "", ", ", "\n"]).join(r.many(1, 10, lambda: r.pick([r.pick(CONTRACTIONS), r.pick(CONTRACTIONS), r.pick(WORDS["en"])])))


def punctuation(r):
    return "".join(r.pick([r.pick(MARKS), r.pick(MARKS), r.pick(MARKS), r.pick(WORDS["en"]), " ", "\n", "\t"]) for _ in range(r.between(1, 20)))


def special(r):
    return "".join(r.pick([r.pick(SPECIAL), r.pick(SPECIAL), r.pick(WORDS["en"]), " ", "\n", r.pick(MARKS)]) for _ in range(r.between(1, 10)))


def urls(r):
    return r.pick([" ", "\n", ", ", ""]).join(r.many(1, 4, lambda: r.pick([r.pick(URLS), r.pick(URLS), f"https://{letters(r, 3, 12)}.{letters(r, 2, 3)}/{letters(r, 5, 30, 'abcdefABCDEF0123456789-_%')}"])))


def math(r):
    return r.pick([" ", "\n", " = ", ", "]).join(r.many(1, 5, lambda: r.pick(MATH)))


def long_word(r):
    return r.pick([
        lambda: r.pick("a=-_ .0#é中👍") * r.between(20, 400), lambda: letters(r, 60, 400), lambda: letters(r, 60, 300, "abcXYZ0189+/"), lambda: letters(r, 50, 200, "абвгдежз"),
        lambda: letters(r, 50, 150, "的一是不了人我在有他"), lambda: "".join(r.many(10, 40, lambda: r.pick(WORDS["en"]).capitalize())), lambda: "_".join(r.many(10, 40, lambda: r.pick(WORDS["en"]))),
        lambda: letters(r, 60, 300, "01"), lambda: letters(r, 40, 200, "กขคงจฉ"), lambda: letters(r, 10, 60, "ab") * 5])()


def block(r):
    low, high = r.pick(BLOCKS)
    return "".join(r.many(1, 20, lambda: r.pick([chr(r.between(low, high))] * 5 + [" "])))


def any_blocks(r):
    def character():
        low, high = r.pick(BLOCKS)
        return chr(r.between(low, high))
    return "".join(r.many(1, 24, lambda: r.pick([character(), character(), " ", r.pick(WORDS["en"])])))


def mixed(r):
    return r.pick(["", " ", "\n", "\n\n"]).join(r.many(2, 5, lambda: r.pick(GENERATORS[:-1])(r)))


GENERATORS = [prose, prose, prose, foreign, foreign, foreign, cjk, cjk, code, code, code, emoji, controls, combining, digits, digits, spaces, spaces, blanks, contractions,
              punctuation, punctuation, special, special, urls, math, long_word, block, any_blocks, mixed]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lines = dict.fromkeys(EDGES)
    r = Random(20)
    turn = 0
    while len(lines) < LINES:
        text = GENERATORS[turn % len(GENERATORS)](r)
        turn += 1
        if text:
            lines.setdefault(text)
    with open(sys.argv[1], "w") as out:
        out.writelines(json.dumps(text) + "\n" for text in lines)
    print(f"{sys.argv[1]}: {len(lines)} lines, {sum(map(len, lines))} characters")


if __name__ == "__main__":
    main()
