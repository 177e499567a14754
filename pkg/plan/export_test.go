package plan

// NumActions is the number of actions, with the zero value.
const NumActions = len(actions)
