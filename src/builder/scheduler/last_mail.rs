//! The round of mail before the end. Whatever may write a letter after it makes another one necessary.

#[derive(Debug, Default)]
pub struct LastMail {
    pub stage: Stage,
    /// So many rounds have been asked for.
    rounds: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    #[default]
    NotYet,
    /// It is under way.
    Asked,
    Sent,
    /// And the queue was looked at once more.
    SentAndLooked,
    /// And one that stays waits for more.
    NothingToDo,
}

impl LastMail {
    /// A new round, and its number.
    pub fn ask(&mut self) -> usize {
        self.rounds += 1;
        self.stage = Stage::Asked;
        self.rounds
    }

    /// The round of this number is over. An older one says nothing of what was written since.
    pub fn sent(&mut self, round: usize) {
        if self.stage == Stage::Asked && round == self.rounds {
            self.stage = Stage::Sent;
        }
    }
}
