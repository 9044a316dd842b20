//! The pieces of a template as a tree.

use super::{
    error::{Expand, error},
    functions::{Function, Value},
    lexer::{Lexer, Token},
};

/// Deeper nesting is refused: the tree is walked by recursion.
const MAX_DEPTH: usize = 100;

#[derive(Debug)]
pub enum Node {
    Text(String),
    Value(Pipeline),
    If { branches: Vec<(Pipeline, Vec<Node>)>, otherwise: Vec<Node> },
}

#[derive(Debug)]
pub struct Pipeline {
    pub line: usize,
    pub commands: Vec<Command>,
}

#[derive(Debug)]
pub enum Command {
    Value(Operand),
    Call { function: Function, arguments: Vec<Operand> },
}

#[derive(Debug)]
pub enum Operand {
    Literal(Value),
    Pipeline(Pipeline),
    /// A function without arguments of its own.
    Function(Function),
}

pub fn parse(lexer: Lexer<'_>) -> Expand<Vec<Node>> {
    let mut parser = Parser { lexer, depth: 0 };
    match parser.nodes()? {
        (nodes, End::OfText) => Ok(nodes),
        _ => error(parser.lexer.line(), "{{end}} or {{else}} without {{if}}"),
    }
}

/// What ended a row of nodes.
enum End {
    OfText,
    /// `{{end}}`
    OfIf,
    /// `{{else}}`
    Else,
    /// `{{else if ...}}`
    ElseIf(Pipeline),
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    depth: usize,
}

impl Parser<'_> {
    fn nodes(&mut self) -> Expand<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        loop {
            let token = match self.lexer.next()? {
                None => return Ok((nodes, End::OfText)),
                Some(Token::Text(text)) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Some(_) => self.token()?,
            };
            match token {
                Token::Word(word) if word == "if" => nodes.push(self.condition()?),
                Token::Word(word) if word == "end" => {
                    self.close("end")?;
                    return Ok((nodes, End::OfIf));
                }
                Token::Word(word) if word == "else" => {
                    let end = match self.token()? {
                        Token::Close => End::Else,
                        Token::Word(word) if word == "if" => End::ElseIf(self.pipeline_to_close()?),
                        _ => return self.misplaced("else"),
                    };
                    return Ok((nodes, end));
                }
                first => nodes.push(Node::Value(self.pipeline_from(first, &Token::Close)?)),
            }
        }
    }

    fn condition(&mut self) -> Expand<Node> {
        let line = self.lexer.line();
        self.deeper()?;
        let mut condition = self.pipeline_to_close()?;
        let mut branches = Vec::new();
        let otherwise = loop {
            let (nodes, end) = self.nodes()?;
            branches.push((condition, nodes));
            match end {
                End::ElseIf(next) => condition = next,
                End::OfIf => break Vec::new(),
                End::OfText => return error(line, "{{if}} without {{end}}"),
                End::Else => match self.nodes()? {
                    (nodes, End::OfIf) => break nodes,
                    (_, End::OfText) => return error(line, "{{if}} without {{end}}"),
                    _ => return error(self.lexer.line(), "{{else}} behind {{else}}"),
                },
            }
        };
        self.depth -= 1;
        Ok(Node::If { branches, otherwise })
    }

    fn pipeline_to_close(&mut self) -> Expand<Pipeline> {
        let first = self.token()?;
        self.pipeline_from(first, &Token::Close)
    }

    /// Commands with `|` between them, up to `end`.
    fn pipeline_from(&mut self, first: Token, end: &Token) -> Expand<Pipeline> {
        let line = self.lexer.line();
        let mut commands = Vec::new();
        let mut token = first;
        loop {
            let mut operands = Vec::new();
            while token != Token::Pipe && token != *end {
                operands.push(self.operand(token)?);
                token = self.token()?;
            }
            commands.push(command(operands, line)?);
            if token == *end {
                return Ok(Pipeline { line, commands });
            }
            token = self.token()?;
        }
    }

    fn operand(&mut self, token: Token) -> Expand<Operand> {
        match token {
            Token::Literal(value) => Ok(Operand::Literal(value)),
            Token::Word(word) => match Function::named(&word) {
                Some(function) => Ok(Operand::Function(function)),
                None => error(self.lexer.line(), format!("{word} is not supported")),
            },
            Token::OpenParenthesis => {
                self.deeper()?;
                let first = self.token()?;
                let pipeline = self.pipeline_from(first, &Token::CloseParenthesis)?;
                self.depth -= 1;
                Ok(Operand::Pipeline(pipeline))
            }
            _ => self.misplaced("(, ) or |"),
        }
    }

    fn deeper(&mut self) -> Expand<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { error(self.lexer.line(), "nested too deeply") } else { Ok(()) }
    }

    fn close(&mut self, word: &str) -> Expand<()> {
        match self.token()? {
            Token::Close => Ok(()),
            _ => self.misplaced(word),
        }
    }

    fn misplaced<T>(&self, word: &str) -> Expand<T> {
        error(self.lexer.line(), format!("there is something wrong at {word}"))
    }

    /// The next piece of an action, which has an end.
    fn token(&mut self) -> Expand<Token> {
        match self.lexer.next()? {
            Some(token) => Ok(token),
            None => error(self.lexer.line(), "an action has no end"),
        }
    }
}

fn command(operands: Vec<Operand>, line: usize) -> Expand<Command> {
    let mut operands = operands.into_iter();
    match operands.next() {
        None => error(line, "missing value for command"),
        Some(Operand::Function(function)) => Ok(Command::Call { function, arguments: operands.collect() }),
        Some(value) if operands.len() == 0 => Ok(Command::Value(value)),
        Some(_) => error(line, "a value cannot be called with arguments"),
    }
}
