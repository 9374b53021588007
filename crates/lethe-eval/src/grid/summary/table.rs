//! A table, for Markdown and for a page.

use std::fmt::Write as _;

/// Cells of text. Every row has as many as there are columns.
#[derive(Clone, Debug, Default)]
pub(in crate::grid) struct Table {
    pub(in crate::grid) title: String,
    pub(in crate::grid) columns: Vec<String>,
    pub(in crate::grid) rows: Vec<Vec<String>>,
}

impl Table {
    pub(in crate::grid) fn new(
        title: impl Into<String>,
        columns: impl IntoIterator<Item = impl Into<String>>,
    ) -> Table {
        Table { title: title.into(), columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// As Markdown, without its title.
    pub(in crate::grid) fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            format!("| {} |\n", cells.iter().map(|cell| marked(cell)).collect::<Vec<_>>().join(" | "))
        };
        let mut text = line(&self.columns) + &"|---".repeat(self.columns.len()) + "|\n";
        self.rows.iter().for_each(|row| text += &line(row));
        text
    }

    /// As HTML, without its title: the first cell of a row names it.
    pub(in crate::grid) fn html(&self) -> String {
        let mut text = String::from("<div class=\"wide\"><table><thead><tr>");
        for column in &self.columns {
            let _ = write!(text, "<th scope=\"col\">{}</th>", escaped(column)); // writing to a text cannot fail
        }
        text += "</tr></thead><tbody>\n";
        for row in &self.rows {
            text += "<tr>";
            for (at, cell) in row.iter().enumerate() {
                let (open, close) = if at == 0 { ("<th scope=\"row\">", "</th>") } else { ("<td>", "</td>") };
                let _ = write!(text, "{open}{}{close}", escaped(cell));
            }
            text += "</tr>\n";
        }
        text + "</tbody></table></div>\n"
    }
}

/// Text that means itself in a line of Markdown, in cells too: names come from files. A `<` that begins no tag stays.
pub(in crate::grid) fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '|' => out += "\\|",
            '<' if chars.peek().is_some_and(|next| next.is_alphabetic() || "/!?".contains(*next)) => out += "&lt;",
            c if c.is_control() => out.extend(c.escape_debug()),
            c => out.push(c),
        }
    }
    out
}

/// Text that means itself in HTML, in attributes too.
pub(in crate::grid) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_mean_themselves() {
        let mut table = Table::new("t", ["a", "b|c"]);
        table.rows.push(vec!["<x>".into(), "1|2 & \"3\"".into()]);
        assert_eq!(table.markdown(), "| a | b\\|c |\n|---|---|\n| &lt;x> | 1\\|2 & \"3\" |\n");
        assert_eq!(marked("a\n# b\t</p>"), "a\\n# b\\t&lt;/p>");
        assert_eq!(marked("p <.001*, 3 < 4"), "p <.001*, 3 < 4");
        let html = table.html();
        assert!(html.contains("<th scope=\"row\">&lt;x&gt;</th><td>1|2 &amp; &quot;3&quot;</td>"), "{html}");
    }
}
